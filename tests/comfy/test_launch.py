"""What a script sees that the launcher runs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from driver.paths import ROOT

SCRIPT = """
import gc, json, socket, sys

def state():
    return [gc.isenabled(), gc.get_freeze_count() > 0]

seen = [state()]
for _ in range(2):
    with socket.create_server(("127.0.0.1", 0)):
        seen.append(state())
    gc.unfreeze()
print(json.dumps([__name__, sys.argv[1:], sys.path[0], seen]))
"""


def test_garbage_is_collected_once_the_server_listens(tmp_path: Path) -> None:
    script = tmp_path / "main.py"
    script.write_text(SCRIPT)
    launcher = ROOT / "driver" / "comfy" / "launch.py"
    done = subprocess.run(
        [sys.executable, "-P", launcher, script, "--flag"], capture_output=True, text=True, check=True
    )
    # What is there when the first socket is bound is never visited; what comes later is.
    seen = [[False, False], [True, True], [True, False]]
    assert json.loads(done.stdout) == ["__main__", ["--flag"], str(tmp_path), seen]
