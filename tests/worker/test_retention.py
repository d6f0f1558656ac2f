"""What a worker keeps: the rule, the sweeps, and jobs whose files were removed or whose disk is full."""

from __future__ import annotations

import errno
import logging
import math
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from driver.cancel import Cancel
from driver.files import is_disk_full
from driver.paths import ROOT
from driver.storage.folder import FolderStore
from driver.worker import sweep
from driver.worker.disk import Disk, job_folder, remove_abandoned
from driver.worker.projects import ProjectLocks
from driver.worker.retention import Limits, Use, removable_until
from driver.worker.sweep import Sweeper
from story_studio.story.problems import Problems
from story_studio.story.results import STORE

DAY = 24 * 3600.0
NOW = 1000 * DAY
USES = st.lists(st.builds(Use, st.floats(NOW - 30 * DAY, NOW), st.integers(0, 10**9)), max_size=40)
SIZES = st.one_of(st.just(math.inf), st.floats(0, 2e10))


@given(USES, SIZES, st.one_of(st.just(math.inf), st.floats(DAY, 20 * DAY)), st.floats(0, 2e10), st.data())
def test_the_least_recently_used_goes_and_no_more_than_necessary(
    uses: list[Use], most: float, seconds: float, missing: float, data: st.DataObject
) -> None:
    busy_since = data.draw(st.one_of(st.just(math.inf), st.floats(NOW - 2 * DAY, NOW)))
    limits = Limits(seconds, most)
    until = removable_until(uses, limits, NOW, missing=missing, busy_since=busy_since)
    goes, stays = [use for use in uses if use.at <= until], [use for use in uses if use.at > until]
    assert all(use.at < busy_since for use in goes)
    idle = [use for use in stays if use.at < busy_since - 5]
    total, kept = sum(use.bytes for use in uses), sum(use.bytes for use in stays)
    allowed = min(most, total - missing) if missing else most
    # What no job uses stays only while it is young enough and there is room for all that stays.
    assert all(use.at > NOW - seconds for use in idle)
    assert not idle or kept <= allowed
    # Without the latest of what goes, there would be too much, or it is too old.
    if goes:
        latest = max(goes)
        again = kept + sum(use.bytes for use in goes if use.at == latest.at)
        assert latest.at <= NOW - seconds or again > allowed


def test_without_limits_all_of_it_stays_and_everything_goes_for_room() -> None:
    uses = [Use(NOW - number, 10) for number in range(5)]
    assert removable_until(uses, Limits(), NOW) == -math.inf
    assert removable_until(uses, Limits(), NOW, missing=math.inf) == NOW
    assert removable_until([], Limits(DAY, 1), NOW) == NOW - DAY


@pytest.mark.parametrize(
    ("days", "size", "limits"),
    [
        ("", "", Limits(7 * DAY, 10e9)),
        ("0.5", "2.5", Limits(DAY / 2, 2.5e9)),
        ("0", "0", Limits(math.inf, math.inf)),
    ],
)
def test_limits_from_the_environment(
    monkeypatch: pytest.MonkeyPatch, days: str, size: str, limits: Limits
) -> None:
    monkeypatch.setenv("RETENTION_DAYS", days)
    monkeypatch.setenv("RETENTION_GB", size)
    assert Limits.from_environment() == limits


@pytest.mark.parametrize("value", ["seven", "-1", "1e3", "nan", "0.001", "٣", "1.2.3", "999999999"])
def test_wrong_limits_are_refused_together(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("RETENTION_DAYS", value)
    monkeypatch.setenv("RETENTION_GB", value)
    with pytest.raises(Problems) as refused:
        Limits.from_environment()
    assert [problem.where for problem in refused.value.problems] == ["RETENTION_DAYS", "RETENTION_GB"]


def ago(days: float) -> tuple[float, float]:
    """Times of access and change, so many days ago."""
    at = time.time() - days * DAY
    return at, at


class Place:
    """A worker's folders with a sweeper, without a server.

    Attributes:
        workspace, output: as of a server.
        store: in a folder.
    """

    def __init__(self, folder: Path, limits: Limits):
        self.workspace, self.output = folder / "workspace", folder / "output"
        self.store = FolderStore(self.output / STORE / "store")
        self.sweeper = Sweeper(limits, Disk(self.workspace, self.output, self.store.folder), self.store)

    def make(self, path: Path, days: float, size: int = 8192) -> Path:
        """A file that was last used so many days ago."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.urandom(size))
        for each in (path, path.parent):
            os.utime(each, ago(days))
        return path

    def result(self, number: int, days: float, size: int = 8192) -> Path:
        return self.make(self.output / STORE / "stills" / f"s.{number:024x}.png", days, size)


def test_a_sweep_removes_what_is_old_from_every_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    place = Place(tmp_path, Limits(7 * DAY))
    make, output, workspace = place.make, place.output, place.workspace
    key = "0123456789abcdef01234567"
    old = [
        place.result(1, 8),
        make(output / "job-1" / "image_img.png", 8),
        make(output / "job-1" / ".lock", 8, 0),
        make(output / "a" / "b" / "workflow_00001_.png", 8),
        make(workspace / "input" / f"{key}.png", 8),
        make(workspace / "input" / STORE / f"{key}.wav", 8),
        make(workspace / "temp" / "server-dead" / "model_paths.yaml", 9),
        make(workspace / "temp" / "server-now" / "preview_00001_.png", 8),
    ]
    stays = [
        place.result(2, 6),
        make(output / "job-2" / "image_img.png", 6),
        make(workspace / "temp" / "server-now" / "model_paths.yaml", 8),
        # Not from a job.
        make(workspace / "input" / "logo.png", 99),
        make(workspace / "custom_nodes" / "pack" / "__init__.py", 99),
        make(workspace / "models" / "vae" / "x.safetensors", 99),
    ]
    os.utime(stays[2], ago(8))
    place.store.upload(stays[0], "StoryStudio/old.png")
    place.store.upload(stays[0], "VideoGen/new.mp4")
    os.utime(place.store.folder / "StoryStudio/old.png", ago(8))
    with caplog.at_level(logging.INFO):
        place.sweeper.sweep()
    assert not [path for path in old if path.exists()]
    assert not [path for path in stays if not path.exists()]
    assert place.store.keys() == ["VideoGen/new.mp4"]
    # ComfyUI's own folders stay, and those of jobs go.
    assert sorted(path.name for path in output.iterdir()) == ["job-2", STORE]
    assert (workspace / "input" / STORE).is_dir()
    assert "removed 8 files of 0.1 MB from its disk" in caplog.text
    assert "removed 1 files of 0.0 MB from the folder of results" in caplog.text


def test_a_sweep_stays_within_the_size_and_counts_a_use(tmp_path: Path) -> None:
    place = Place(tmp_path, Limits(bytes=3 * 8192))
    paths = [place.result(number, 5 - number) for number in range(5)]
    with place.sweeper.job():
        assert place.sweeper.touch(paths[0])
        assert not place.sweeper.touch(tmp_path / "nothing")
    changed = paths[0].stat().st_mtime
    place.sweeper.sweep()
    assert [path.exists() for path in paths] == [True, False, False, True, True]
    # A file's time of change may be part of a key in ComfyUI, as that of LoadVideo's is.
    assert paths[0].stat().st_mtime == changed < time.time() - 4 * DAY


def test_hard_links_count_once_and_go_together(tmp_path: Path) -> None:
    place = Place(tmp_path, Limits(bytes=3 * 8192))
    paths = [place.result(number, 5 - number) for number in range(3)]
    for path in paths:
        (twin := place.workspace / "temp" / "server-now" / path.name).parent.mkdir(
            parents=True, exist_ok=True
        )
        twin.hardlink_to(path)
    place.sweeper.sweep()
    assert all(path.exists() for path in paths)
    place.result(3, 0)
    place.sweeper.sweep()
    assert not paths[0].exists() and not (place.workspace / "temp/server-now" / paths[0].name).exists()
    assert paths[1].exists() and paths[2].exists()


def test_what_a_running_job_uses_stays_even_if_the_disk_is_full(tmp_path: Path) -> None:
    place = Place(tmp_path, Limits(DAY, 1))
    used, made, other = (place.result(number, 5) for number in range(3))
    project = place.make(place.output / "tale" / "manifest.json", 5).parent
    for name in ("still.png", "clip.mp4", ".lock"):
        earlier = place.make(place.output / "earlier" / name, 5).parent
    with place.sweeper.job():
        place.sweeper.touch(used)
        os.utime(made)
        place.sweeper.touch(project)
        place.sweeper.make_room(False)
        assert used.exists() and made.exists() and not other.exists()
        # Its files may go, but the job may be about to write others.
        assert project.is_dir() and not [*project.iterdir()]
        assert not earlier.exists()
    place.sweeper.make_room(False)
    assert not used.exists() and not made.exists()


def test_a_little_free_space_makes_room_before_a_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = Place(tmp_path, Limits())
    paths = [place.result(number, 5 - number) for number in range(3)]
    usage = shutil.disk_usage(tmp_path)
    # As if the reserve were a little more than what is free.
    monkeypatch.setattr(sweep, "_RESERVE_SHARE", 1)
    monkeypatch.setattr(sweep, "_RESERVE_BYTES", usage.free - 10**9)
    assert not place.sweeper.is_low()
    monkeypatch.setattr(sweep, "_RESERVE_BYTES", usage.free + 10**12)
    with place.sweeper.job():
        assert not [path for path in paths if path.exists()]


def test_of_a_full_store_the_least_recently_used_part_goes(tmp_path: Path) -> None:
    place = Place(tmp_path, Limits())
    source = place.make(tmp_path / "source", 0)
    for number in range(20):
        place.store.upload(source, f"StoryStudio/{number}.png")
        os.utime(place.store.folder / f"StoryStudio/{number}.png", ago(20 - number))
    place.sweeper.make_room(False)
    assert len(place.store.keys()) == 20
    place.sweeper.make_room(True)
    assert set(place.store.keys()) == {f"StoryStudio/{number}.png" for number in range(2, 20)}


def test_folders_of_killed_workers_are_removed_and_those_of_running_jobs_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    code = "import os, time\nfrom driver.worker.disk import job_folder\n"
    code += "with job_folder() as folder:\n (folder / 'voice.wav').write_bytes(b'x' * 5000); os._exit(9)"
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    assert subprocess.run([sys.executable, "-c", code], env=environment, cwd=ROOT).returncode == 9
    (dead,) = tmp_path.glob("story-studio-job-*")
    with job_folder() as own:
        for folder in (dead, own):
            os.utime(folder, ago(1))
        assert remove_abandoned() == (1, 8192)
        assert own.is_dir() and not dead.exists()
    assert not own.exists()


def test_a_lock_of_a_project_takes_no_memory_after_its_jobs() -> None:
    locks = ProjectLocks()
    for number in range(100):
        with locks.alone(f"project_{number}", Cancel()), locks.alone("other", Cancel()):
            assert len(locks) == 2
    assert len(locks) == 0


def test_a_full_disk_is_recognised_by_its_number_also_behind_another_error() -> None:
    def raised(full: bool) -> BaseException:
        try:
            try:
                raise OSError(errno.EDQUOT if full else errno.EIO, "x")
            except OSError:
                raise ValueError("it cannot be written") from None
        except ValueError as error:
            return error

    assert is_disk_full(raised(True)) and not is_disk_full(raised(False))
    assert is_disk_full("av: [Errno 28] No space left on device: 'x.mp4'")
    assert not is_disk_full("[Errno 2] No such file or directory: 'x.mp4'")
