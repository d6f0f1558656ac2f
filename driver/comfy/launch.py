"""Runs a script as if it were started directly: `launch.py COMFYUI/main.py ARGUMENT...`.

On SIGUSR1 it writes the stack of every thread into the log, and the process ends. In some versions the fault
handler that ComfyUI enables itself writes one thread's only, which is seldom the one that hangs.
"""

import faulthandler
import os
import runpy
import signal
import sys

if __name__ == "__main__":
    faulthandler.register(signal.SIGUSR1, all_threads=True, chain=True)
    del sys.argv[0]
    # This file is run with -P, without which its folder would come first, and queue.py hide Python's own.
    sys.path.insert(0, os.path.dirname(sys.argv[0]))
    runpy.run_path(sys.argv[0], run_name="__main__")
