"""Private addresses are not connected to, however they are written and wherever they come from."""

from __future__ import annotations

import ipaddress
import socket
from pathlib import Path

import pytest

from driver.fetch import guard
from driver.fetch.download import DownloadError, download
from tests.fetch.tools import Site, site

LOOPBACK = ["127.0.0.1", "localhost", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "0.0.0.0", "0"]
LOOPBACK += ["[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "LOCALHOST"]
PRIVATE = ["169.254.169.254", "[::ffff:169.254.169.254]", "2852039166", "0xa9fea9fe", "[64:ff9b::a9fe:a9fe]"]
PRIVATE += [
    "10.0.0.1",
    "172.16.0.1",
    "192.168.0.1",
    "100.64.0.1",
    "198.18.0.1",
    "224.0.0.1",
    "255.255.255.255",
]
PRIVATE += ["[::1]", "[::]", "[fe80::1]", "[fd00:ec2::254]", "[ff02::1]"]
# They may embed private addresses.
PRIVATE += ["[2002:7f00:1::]", "[::127.0.0.1]", "[64:ff9b:1::1]"]


@pytest.mark.parametrize("host", LOOPBACK)
def test_every_form_of_loopback_is_refused(pages: Site, tmp_path: Path, refused: None, host: str) -> None:
    address = f"{pages.url.replace('127.0.0.1', host)}/voice.mp3"
    said = "leads to a private address, which is refused. For a private deployment set STORY_STUDIO_ALLOW"
    with pytest.raises(DownloadError, match=said):
        download(address, tmp_path)
    assert pages.asked == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("host", LOOPBACK)
def test_with_the_variable_they_are_all_allowed(
    pages: Site, tmp_path: Path, allowed: None, host: str
) -> None:
    address = f"{pages.url.replace('127.0.0.1', host)}/voice.mp3"
    assert download(address, tmp_path).read_bytes() == b"sound"


@pytest.mark.parametrize("host", PRIVATE)
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_other_private_addresses_are_refused(tmp_path: Path, refused: None, scheme: str, host: str) -> None:
    with pytest.raises(DownloadError, match="leads to a private address"):
        download(f"{scheme}://{host}/latest/meta-data", tmp_path)


@pytest.mark.parametrize("value", ["", "0", "true", "yes"])
def test_only_1_sets_the_variable(
    pages: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv(guard.ALLOW_PRIVATE, value)
    with pytest.raises(DownloadError, match="leads to a private address"):
        download(f"{pages.url}/voice.mp3", tmp_path)


def test_a_refusal_does_not_reveal_whether_a_port_is_open(tmp_path: Path, refused: None) -> None:
    with site() as there, pytest.raises(DownloadError) as open_port:
        download(f"{there.url}/a", tmp_path)
    with pytest.raises(DownloadError) as closed_port:
        download(f"{there.url}/a", tmp_path)
    assert str(open_port.value) == str(closed_port.value)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_from_a_public_address_is_refused(
    pages: Site, tmp_path: Path, refused: None, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    is_public = guard.is_public
    monkeypatch.setattr(guard, "is_public", lambda address: address == "127.0.0.2" or is_public(address))
    with site("127.0.0.2") as outside:
        outside.pages["/a"] = lambda reader: reader.answer(status, Location=f"{pages.url}/voice.mp3")
        with pytest.raises(DownloadError, match="^http://127.0.0.2/a leads to a private address"):
            download(f"{outside.url}/a", tmp_path)
        assert len(outside.asked) == 1
    assert pages.asked == []


def test_a_name_with_a_private_address_among_others_is_refused(
    tmp_path: Path, refused: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def look_up(host: str, port: int, **_: object) -> list:
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (to, port)) for to in ("8.8.8.8", "127.0.0.1")]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    with pytest.raises(DownloadError, match="leads to a private address"):
        download("http://media.example/a", tmp_path)
    # A second look-up might return another address.
    assert asked == ["media.example"]


@pytest.mark.parametrize("address", ["8.8.8.8", "93.184.216.34", "2606:4700::1111", "::ffff:8.8.8.8"])
def test_the_internet_is_public(address: str) -> None:
    assert guard.is_public(address)
    assert ipaddress.ip_address(address)
