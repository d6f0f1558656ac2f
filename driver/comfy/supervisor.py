"""Runs ComfyUI as its child (`supervisor.py DRIVER_PID COMMAND...`), and kills it if the driver dies.

A process, because PR_SET_PDEATHSIG fires when the *thread* that started the child ends. It leads ComfyUI's
process group and ignores the signals sent to the group, so its exit status is ComfyUI's, and nothing in the
group outlives it. Run by its path, with the standard library alone, it starts in a few milliseconds.
"""

import os
import signal
import subprocess
import sys


def supervise(driver: int, command: list[str]) -> int:
    """ComfyUI's exit status, in a shell's form. The whole group is killed if the driver dies first."""
    for number in (signal.SIGTERM, signal.SIGUSR1):
        # A function, because SIG_IGN would be inherited by ComfyUI.
        signal.signal(number, lambda *_: None)
    comfyui = subprocess.Popen(command)
    while True:
        try:
            status = comfyui.wait(0.5)
        except subprocess.TimeoutExpired:
            if os.getppid() != driver:
                os.killpg(0, signal.SIGKILL)
        else:
            os.killpg(0, signal.SIGTERM)
            return status if status >= 0 else 128 - status


if __name__ == "__main__":
    sys.exit(supervise(int(sys.argv[1]), sys.argv[2:]))
