"""A child process that ends with its parent, whatever ends that. With the standard library alone."""

import ctypes
import os
import signal
import sys
from collections.abc import Callable

_PR_SET_PDEATHSIG = 1


def ends_with_this_process() -> Callable[[], None]:
    """For a child to call before all else (`preexec_fn`): on Linux, the kernel kills it with its parent.

    The parent is the thread that starts it. A later change of the child's user would undo this.
    """
    parent = os.getpid()
    # Loaded here, because little is safe in the child of a process with threads.
    prctl = ctypes.CDLL(None).prctl if sys.platform == "linux" else None

    def prepare() -> None:
        if prctl:
            prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os.kill(os.getpid(), signal.SIGKILL)

    return prepare
