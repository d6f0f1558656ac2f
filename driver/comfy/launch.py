"""Runs a script as if it were started directly: `launch.py COMFYUI/main.py ARGUMENT...`.

On SIGUSR1 it writes the stack of every thread into the log, and the process ends. In some versions the fault
handler that ComfyUI enables itself writes one thread's only, which is seldom the one that hangs.
"""

import faulthandler
import gc
import os
import runpy
import signal
import sys


def start_without_collections() -> None:
    """Collects no garbage until the first socket is bound, and never visits what was there by then.

    A start imports thousands of modules: 0.9 million objects that stay, and hardly any garbage. To visit them
    takes a seventh of the start, and 0.4 s in each full collection, as when models are freed.
    """
    starting = True

    def settle(event: str, _: tuple[object, ...]) -> None:
        nonlocal starting
        if starting and event == "socket.bind":
            starting = False
            gc.freeze()
            gc.enable()

    gc.disable()
    sys.addaudithook(settle)


if __name__ == "__main__":
    faulthandler.register(signal.SIGUSR1, all_threads=True, chain=True)
    start_without_collections()
    del sys.argv[0]
    # This file is run with -P, without which its folder would come first, and queue.py hide Python's own.
    sys.path.insert(0, os.path.dirname(sys.argv[0]))
    runpy.run_path(sys.argv[0], run_name="__main__")
