"""Linux's Landlock: restricts the files that a process, and all that it starts, may read and write.

With the standard library alone, because the supervisor uses it too. Constants and structures are those of
linux/landlock.h; what an older kernel cannot restrict stays allowed.
"""

import ctypes
import errno
import os
from collections.abc import Iterable

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_VERSION, _PATH_BENEATH = 1, 1
_PR_SET_NO_NEW_PRIVS = 38
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = (1 << bit for bit in range(4))
_REFER, _TRUNCATE = 1 << 13, 1 << 14
_ALL = (1 << 13) - 1
"""From executing to making symbolic links. Not the ioctls of devices, which a GPU needs."""
_READ = _EXECUTE | _READ_FILE | _READ_DIR
_OF_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE


class _Ruleset(ctypes.Structure):
    _fields_ = [("handled_access_fs", ctypes.c_uint64)]


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = [("allowed_access", ctypes.c_uint64), ("parent_fd", ctypes.c_int32)]


def version() -> int:
    """The version of Landlock in this kernel; 0 where there is none, or where it is switched off."""
    try:
        return max(0, _call(_CREATE_RULESET, None, 0, _VERSION))
    except OSError:
        return 0


def restrict(read: Iterable[str], write: Iterable[str]) -> None:
    """Restricts this process to these files and folders with all below them. Does nothing without Landlock.

    Args:
        read: what it may read and execute.
        write: what it may also write.

    Raises:
        OSError: the kernel refuses.
    """
    known = version()
    if not known:
        return
    handled = _ALL | (_REFER if known >= 2 else 0) | (_TRUNCATE if known >= 3 else 0)
    attributes = _Ruleset(handled)
    ruleset = _call(_CREATE_RULESET, ctypes.byref(attributes), ctypes.sizeof(attributes), 0)
    for paths, access in ((read, _READ), (write, handled)):
        for path in paths:
            _allow(ruleset, path, access)
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "no_new_privs")
    _call(_RESTRICT_SELF, ruleset, 0)
    os.close(ruleset)


def _allow(ruleset: int, path: str, access: int) -> None:
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError as error:
        # What does not exist, or cannot be reached, needs no rule.
        if error.errno in (errno.ENOENT, errno.EACCES, errno.ENOTDIR):
            return
        raise
    rule = _PathBeneath(access if os.path.isdir(path) else access & _OF_FILES, place)
    _call(_ADD_RULE, ruleset, _PATH_BENEATH, ctypes.byref(rule), 0)
    os.close(place)


def _call(number: int, *arguments: object) -> int:
    result = ctypes.CDLL(None, use_errno=True).syscall(number, *arguments)
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result
