"""A delivery: what is in it, what is not, and that its page runs nothing but its own script."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import zipfile
from fractions import Fraction
from html.parser import HTMLParser
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from driver.export.delivery import copy_film
from driver.export.frames import write_poster
from driver.files import is_disk_full, sha256_of
from driver.rendering.cut import Cut, Shot
from story_studio.media.encoder import Encoder
from tests.export.conftest import MakeProject
from tests.export.projects import Project, frames_of

HOSTILE = '</script><script>alert(1)</script>" onload="alert(2) {{ 7 * 7 }}'


class Elements(HTMLParser):
    """The elements of a page with their attributes."""

    def __init__(self, text: str):
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.found if name == tag]


def test_a_delivery_is_whole_and_says_nothing_of_its_making(project: Project, tmp_path: Path) -> None:
    project.set_cut()
    assert b"secret prompt" in (project.folder / "film.mp4").read_bytes()
    folder = project.export("delivery")
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    images = {f"scenes/{number:03}.jpg" for number in (1, 2, 3)} | {"poster.jpg", "storyboard.jpg"}
    texts = {"film.en.srt", "film.en.vtt", "index.html", "manifest.json"}
    assert set(files) == images | texts | {"film.mp4"}
    assert np.array_equal(frames_of(files["film.mp4"]), project.film)
    key = sha256_of(project.folder / "film.mp4").encode()
    for path in files.values():
        content = path.read_bytes()
        assert not any(word in content for word in (b"secret", str(tmp_path).encode(), b"seed", key))
    contents = json.loads(files["manifest.json"].read_text())
    assert {entry["file"]: entry["sha256"] for entry in contents["files"]} == {
        name: sha256_of(path) for name, path in files.items() if name != "manifest.json"
    }


def test_the_page_runs_only_its_own_script(make_project: MakeProject) -> None:
    project = make_project(title=HOSTILE)
    cut = project.set_cut()
    shots = [{**shot.model_dump(), "title": HOSTILE} for shot in cut.shots]
    captions = {"en": [[0.0, 0.5, HOSTILE]]}
    project.set_cut(shots=shots, captions=captions)
    text = (project.export("delivery") / "index.html").read_text()
    page = Elements(text)
    assert len(page.of("script")) == 1
    policy = next(meta["content"] for meta in page.of("meta") if "http-equiv" in meta) or ""
    script = re.search(r"<script>(.*?)</script>", text, re.DOTALL)
    assert script
    digest = base64.b64encode(hashlib.sha256(script[1].encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy
    assert not any(name.startswith("on") for _, attributes in page.found for name in attributes)
    addresses = [
        value or ""
        for _, attributes in page.found
        for name in ("src", "href")
        if (value := attributes.get(name))
    ]
    assert addresses and not any("//" in address for address in addresses if not address.startswith("data:"))
    assert [track["srclang"] for track in page.of("track")] == ["en"]


def test_a_zip_of_a_delivery_has_one_folder(project: Project) -> None:
    folder = project.export("delivery", "--zip")
    with zipfile.ZipFile(folder.with_suffix(".zip")) as archive:
        assert {name.split("/")[0] for name in archive.namelist()} == {"tale-delivery"}
        assert archive.testzip() is None


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
def test_a_full_disk_is_no_fault_of_the_film(project: Project) -> None:
    with pytest.raises(OSError) as caught:
        copy_film(project.folder / "film.mp4", Path("/dev/full"), "A tale")
    assert is_disk_full(caught.value)


def test_the_poster_is_neither_dark_nor_blurred(tmp_path: Path) -> None:
    sharp = np.indices((48, 64)).sum(axis=0) % 8 // 4 * 200 + 20
    pictures = (
        [np.zeros((48, 64))] * 8 + [np.full((48, 64), 120)] * 8 + [sharp] * 3 + [np.full((48, 64), 120)] * 5
    )
    with Encoder(tmp_path / "film.mp4", 64, 48, Fraction(24), 1, 16, {}) as encoder:
        for image in pictures:
            frame = av.VideoFrame.from_ndarray(image.astype(np.uint8), "gray")
            encoder.frame(frame.reformat(format="yuv420p"))
    cut = Cut(fps="24", frames=24, shots=[Shot(frames=24, clip_frames=24)])
    write_poster(tmp_path / "film.mp4", cut, tmp_path / "poster.jpg")
    with Image.open(tmp_path / "poster.jpg") as poster:
        assert np.asarray(poster.convert("L"), float).std() > 50
