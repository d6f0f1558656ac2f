"""`python -m driver`, the same as the console command `story-studio`."""

import sys

from driver.cli import main

sys.exit(main())
