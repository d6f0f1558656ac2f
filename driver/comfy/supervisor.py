"""Runs ComfyUI as its child, and kills it if the driver dies: `supervisor.py DRIVER CONFINEMENT COMMAND...`.

A process, because PR_SET_PDEATHSIG fires when the *thread* that started the child ends. It leads ComfyUI's
process group and ignores the signals sent to the group, so its exit status is ComfyUI's, and nothing in the
group outlives it. If it is killed itself, the kernel kills ComfyUI. Run by its path, with the standard
library alone, it starts in a few milliseconds.
"""

import json
import os
import signal
import subprocess
import sys
from typing import Any

# Last, so that queue.py beside this does not hide Python's own.
sys.path.append(os.path.dirname(__file__))
import landlock  # pyright: ignore[reportMissingImports]
import lifetime  # pyright: ignore[reportMissingImports]


def supervise(driver: int, confinement: list[Any] | None, command: list[str]) -> int:
    """ComfyUI's exit status, in a shell's form. The whole group is killed if the driver dies first.

    Args:
        driver: the id of its process, our parent.
        confinement: a `Confinement` as JSON.
        command: what to run.
    """
    for number in (signal.SIGTERM, signal.SIGUSR1):
        # A function, because SIG_IGN would be inherited by ComfyUI.
        signal.signal(number, lambda *_: None)
    end_with_us = lifetime.ends_with_this_process()

    def prepare() -> None:
        end_with_us()
        if confinement:
            landlock.restrict(read, write)

    read, write, ids = confinement or ([], [], None)
    user, group = ids or (None, None)
    others = None if group is None else [group]
    comfyui = subprocess.Popen(command, preexec_fn=prepare, user=user, group=group, extra_groups=others)
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
    sys.exit(supervise(int(sys.argv[1]), json.loads(sys.argv[2]), sys.argv[3:]))
