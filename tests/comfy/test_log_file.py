"""The server's log on disk."""

from __future__ import annotations

from pathlib import Path

from driver.comfy import log_file
from driver.comfy.log_file import LogFile

LINE = b"line %d " + b"-" * 10_000
COUNT = 3 * log_file.MAX_BYTES // len(LINE)


def test_a_long_log_becomes_the_earlier_one(tmp_path: Path) -> None:
    path = tmp_path / "server.log"
    path.write_text("of the last server")
    with LogFile(path) as log:
        assert path.with_suffix(".log.1").read_text() == "of the last server"
        for number in range(COUNT):
            log.write(LINE % number)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["server.log", "server.log.1"]
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) < 2.1 * log_file.MAX_BYTES
    lines = (path.with_suffix(".log.1").read_text() + path.read_text()).splitlines()
    assert lines == [(LINE % number).decode() for number in range(COUNT - len(lines), COUNT)]


def test_a_full_disk_does_not_end_the_reading_of_what_the_server_prints(tmp_path: Path) -> None:
    with LogFile(tmp_path / "server.log") as log, Path("/dev/full").open("wb", buffering=0) as full:
        log._file, file = full, log._file
        log.write(b"lost")
        log._file = file
        log.write(b"kept")
    assert (tmp_path / "server.log").read_bytes() == b"kept\n"
