"""Data URIs as they are written; one reader for stories and all tasks of the endpoint."""

from __future__ import annotations

import base64
import textwrap
from pathlib import Path
from urllib.parse import quote

import pytest

from driver.fetch.allowance import Allowance
from driver.fetch.data_uri import decode, save_data_uri
from driver.fetch.local import fetch_for_story
from driver.storage.folder import FolderStore
from driver.worker.sources import fetch_source

SOUND = bytes(range(256)) + b"\xfb\xff"
PLAIN = base64.b64encode(SOUND).decode()
URL_SAFE = base64.urlsafe_b64encode(SOUND).decode()
WRAPPED = "\r\n".join(textwrap.wrap(PLAIN, 76))

ACCEPTED = [
    f"data:audio/ogg;base64,{PLAIN}",
    f"data:audio/ogg; codecs=opus;base64,{PLAIN}",
    f'data:audio/ogg; codecs="opus";base64,{PLAIN}',
    f'data:audio/ogg;codecs="vp8,opus";base64,{PLAIN}',
    f"data:audio/ogg;name=caf%C3%A9.ogg;charset=utf-8;base64,{PLAIN}",
    f'data:audio/ogg;name="a;base64,b";base64,{PLAIN}',
    f"DATA:AUDIO/OGG;BASE64,{PLAIN}",
    f"data: audio/ogg ; base64 , {PLAIN}",
    f"data:audio/ogg;base64,{WRAPPED}",
    f"data:audio/ogg;base64,\n\t{WRAPPED}\n",
    f"data:audio/ogg;base64,{quote(PLAIN, safe='')}",
    f"data:audio/ogg;base64,{quote(WRAPPED)}",
    f"data:audio/ogg;base64,{URL_SAFE}",
    f"data:audio/ogg;base64,{URL_SAFE.rstrip('=')}",
    f"data:audio/ogg;base64,{PLAIN.rstrip('=')}",
    f"data:audio/ogg,{quote(SOUND)}",
    f"data:audio/ogg;x=y,{quote(SOUND, safe='')}",
]


@pytest.mark.parametrize("source", ACCEPTED)
def test_what_can_be_decoded_is_decoded_everywhere(source: str, tmp_path: Path) -> None:
    assert decode(source) == ("audio/ogg", SOUND)
    paths = [tmp_path / name for name in ("job", "story")]
    for path in paths:
        path.mkdir()
    store, allowance = FolderStore(tmp_path / "store"), Allowance("input")
    of_job = fetch_source(source, paths[0], store, allowance, lambda: None)
    of_story = fetch_for_story(tmp_path, source, paths[1])
    for path in (of_job, of_story):
        assert path.read_bytes() == SOUND and path.name in ("the data.ogg", "the data.oga")


@pytest.mark.parametrize("header", ["data:,", "data:;base64,", "data:no/such-type;base64,"])
def test_a_type_that_says_nothing_is_no_obstacle(header: str, tmp_path: Path) -> None:
    assert save_data_uri(f"{header}AAAA", tmp_path).name == "the data"


@pytest.mark.parametrize(
    ("source", "what"),
    [
        ("data:", "is not a data URI: write it like data:audio/mpeg;base64,"),
        ("data:audio/ogg;base64", "is not a data URI"),
        (f"data:{'a' * 2000},AAAA", "is not a data URI"),
        (f"data:audio/ogg;base64;x=y,{PLAIN}", "`base64` comes last"),
        ("data:audio/ogg;base64,", "without data"),
        ("data:audio/ogg;base64,====", "without data"),
        ("data:audio/ogg,", "without data"),
        ("data:audio/ogg;base64,AAAAA", "its end is missing"),
        ("data:audio/ogg;base64,AA=A", "'=' is not in its alphabet"),
        ("data:audio/ogg;base64,AAAA...", "'...' is not in its alphabet"),
        ("data:audio/ogg;base64,AA\u00e9A", "is not in its alphabet"),
        ("data:audio/ogg;base64,AA\ud800A", "is not in its alphabet"),
        ("data:audio/ogg;base64,%FF%FFAA", "is not in its alphabet"),
        ("data:audio/ogg;base64,%ZZAA", "is not in its alphabet"),
        ("data:audio/ogg;base64,<audio>", "'<' is not in its alphabet"),
    ],
)
def test_what_cannot_be_decoded_is_refused(source: str, what: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError) as caught:
        save_data_uri(source, tmp_path)
    assert what in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_the_size_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("driver.fetch.data_uri.MAX_CHARACTERS", 2**20)
    with pytest.raises(ValueError, match="larger than 1 MB"):
        decode("data:," + "A" * 2**20)


@pytest.mark.parametrize("before", range(4))
def test_a_long_percent_encoded_body_is_decoded_whole(before: int) -> None:
    content = b"x" * before + SOUND * 300
    assert decode(f"data:,{quote(content, safe='')}")[1] == content
