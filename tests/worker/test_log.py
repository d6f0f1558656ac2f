"""Lines of the worker's log."""

from __future__ import annotations

import json
import logging
import sys

import pytest

from driver.worker import log


def test_what_a_job_names_makes_no_line_that_readers_break(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    monkeypatch.setattr(sys.stdout, "isatty", lambda: False)
    try:
        log.set_up()
        log.event("failed", "Failed: é\n" + "\1" * 200_000, "job-1", logging.WARNING)
        (line,) = capsys.readouterr().out.splitlines()
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
    # The local endpoint takes 64 KiB for a line, however its characters are escaped.
    assert len(line.encode()) < 2**16
    entry = json.loads(line)
    assert entry["requestId"] == "job-1"
    assert entry["message"].startswith("Failed: é\n\1\1")
