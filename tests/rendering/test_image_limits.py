"""Images of every size, and files that are no images."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from driver.rendering import image_files
from driver.rendering.image_pixels import scaled_size
from story_studio.s2v.timeline import fit_size
from tests.rendering.image_files import clean, drawn, read, refusal, with_hidden_colours

PHOTOS = [(4032, 3024), (3024, 4032), (6000, 4000), (3840, 2160), (2532, 1170), (5472, 3648), (4000, 4000)]


@pytest.mark.parametrize(("width", "height"), [*PHOTOS, (12000, 375), (30, 2_000_000), (9001, 7001)])
def test_scaling_keeps_the_shape(width: int, height: int) -> None:
    limit = 1920 * 1080
    small = scaled_size(width, height, limit)
    assert 0.75 * limit < small[0] * small[1] <= limit * 1.3
    # Half a pixel is the least that rounding may cost.
    assert abs(small[0] * height - small[1] * width) <= 0.5 * max(width, height)
    if (width, height) in PHOTOS:
        assert fit_size(*small, 832 * 480) == fit_size(width, height, 832 * 480)


@pytest.mark.parametrize("name", ["photo.jpg", "photo.png", "photo.tif", "alpha.png", "grey.png"])
def test_a_large_image_is_scaled_to_what_a_clip_can_use(name: str, tmp_path: Path) -> None:
    rows, columns = np.mgrid[0:3000, 0:4000]
    values = np.stack([rows // 12, columns // 16, np.full_like(rows, 100)], -1).astype(np.uint8)
    image = Image.fromarray(values)
    if name == "alpha.png":
        image.putalpha(Image.new("L", image.size, 200))
    image = image.convert("L") if name == "grey.png" else image
    image.save(path := tmp_path / name)
    size = (832, 480)
    result = clean(path, size)
    assert (result.shape[1], result.shape[0]) == scaled_size(4000, 3000, 1920 * 1080)
    expected = Image.new("RGB", image.size, "white")
    expected.paste(image, mask=image.getchannel("A") if name == "alpha.png" else None)
    small = expected.resize((result.shape[1], result.shape[0]), Image.Resampling.LANCZOS)
    assert np.abs(result - np.asarray(small)).max() <= (8 if name == "photo.jpg" else 3)


def test_larger_clips_have_larger_images(tmp_path: Path) -> None:
    Image.new("RGB", (2400, 1350), "red").save(path := tmp_path / "p.png")
    assert clean(path, (832, 480)).shape[:2] == (1080, 1920)
    assert read(path, (1920, 1080)).path == path


def test_decoding_many_large_images_takes_bounded_memory(tmp_path: Path) -> None:
    # Four processes' worth of decoded pixels would be 1.6 GB: 100 megapixels of four bytes each.
    Image.new("LA", (10_000, 10_000), (0, 255)).save(tmp_path / "0.png", compress_level=1)
    for number in range(1, 4):
        (tmp_path / f"{number}.png").hardlink_to(tmp_path / "0.png")
    program = """
import resource, sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from driver.rendering.images import read_image
folder = Path(sys.argv[1])
def read(number):
    (folder / f"of-{number}").mkdir()
    return read_image(folder / f"{number}.png", folder / f"of-{number}", (832, 480))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
with ThreadPoolExecutor(4) as pool:
    assert len(list(pool.map(read, range(4)))) == 4
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""
    command = [sys.executable, "-c", program, str(tmp_path)]
    megabytes = float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert megabytes < 700


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_more_than_100_megapixels_are_refused_without_decoding(tmp_path: Path) -> None:
    for number, side in enumerate((10_001, 30_000)):
        header = struct.pack(">IIBBBBB", side, 10_000, 8, 2, 0, 0, 0)
        body = [(b"IHDR", header), (b"IDAT", zlib.compress(b"\0" * 1000)), (b"IEND", b"")]
        data = b"".join(
            struct.pack(">I", len(part)) + kind + part + struct.pack(">I", zlib.crc32(kind + part))
            for kind, part in body
        )
        (path := tmp_path / f"{number}.png").write_bytes(b"\x89PNG\r\n\x1a\n" + data)
        assert refusal(path).endswith("has more than 100 million pixels: make it smaller.")


def test_strips_are_narrow_and_tiny_images_pass_with_a_warning(tmp_path: Path) -> None:
    Image.new("RGB", (1, 5000)).save(narrow := tmp_path / "narrow.png")
    assert "is too narrow for a clip (1x5000 pixels): crop it" in refusal(narrow)
    Image.new("RGB", (200, 112)).save(small := tmp_path / "small.png")
    (warning,) = read(small, (832, 480)).warnings
    assert "is small (200x112 pixels)" in warning and "832x480" in warning
    Image.new("RGB", (1, 1)).save(dot := tmp_path / "dot.png")
    assert read(dot).path == dot


WORDS = {
    "empty.png": (b"", "is empty"),
    "zeros.jpg": (b"\0" * 5000, "only zeros"),
    "page.png": (b"\n<!DOCTYPE html><html><body>Not found", "is a web page"),
    "page2.png": (b"<!-- x --><html>", "is a web page"),
    "bom.png": (b"\xef\xbb\xbf<HTML>", "is a web page"),
    "logo.svg": (
        b'<?xml version="1.0"?>\n<!-- x -->\n<svg xmlns="http://www.w3.org/2000/svg"/>',
        "SVG drawing",
    ),
    "logo.png": (b"<svg/>", "SVG drawing"),
    "photo.heic": (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC photo"),
    "photo.jpg": (b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic", "HEIC photo"),
    "photo.nef": (b"MM\0*\0\0\0\x08", "raw file"),
    "photo.tif": (b"II*\0\x10\0\0\0CR\x02\0", "raw file"),
    "page.pdf": (b"%PDF-1.7", "is a PDF"),
    "drawing.eps": (b"%!PS-Adobe-3.0 EPSF-3.0", "PostScript"),
    "film.png": (b"\0\0\0\x20ftypisom\0\0\2\0", "is a video"),
    "film.webm": (b"\x1a\x45\xdf\xa3\x9f", "is a video"),
    "photo.jxl": (b"\xff\x0a\xfa\x7f", "JPEG XL"),
    "light.exr": (b"\x76\x2f\x31\x01\x02", "EXR"),
    "image.kra": (b"PK\x03\x04mimetype", "archive"),
    "image.xcf": (b"gimp xcf v011", "image editor"),
    "pointer.png": (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS"),
    "error.png": (b'{"error": "access denied"}', "holds text"),
    "refused.png": ("<Error>禁止\n</Error>".encode() * 99, "holds text"),
    "noise.png": (bytes(range(1, 256)) * 9, "damaged or of an unknown kind"),
    "broken.avif": (b"\0\0\0\x1cftypavif\0\0\0\0avifmif1miaf" + b"\0\0\0\x10meta" * 9, "damaged"),
}


@pytest.mark.parametrize("name", WORDS)
def test_what_is_no_image_is_named(name: str, tmp_path: Path) -> None:
    data, what = WORDS[name]
    (path := tmp_path / name).write_bytes(data)
    message = refusal(path)
    assert what in message
    assert ": " in message


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "gif", "tif", "bmp", "avif", "jp2"])
@pytest.mark.parametrize("share", [0.3, 0.7, 0.97])
def test_a_part_of_an_image_is_refused(suffix: str, share: float, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (200, 200, 3), np.uint8)
    Image.fromarray(noise).save(path := tmp_path / f"p.{suffix}")
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    assert "cut off" in (message := refusal(path)) or "damaged" in message


def test_odd_names_and_no_suffix(tmp_path: Path) -> None:
    for name in (
        "a b'\"[red]%s{}.png",
        "日本語 é\u0301.png",
        "no suffix",
        "x" * 200 + ".png",
        "-rf.png",
        "two\nlines.png",
    ):
        drawn("LA").save(path := tmp_path / name, "PNG")
        assert read(path).path == path
        with_hidden_colours("RGBA").save(path, "PNG")
        assert (clean(path)[:, :20] == 255).all()


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_named(tmp_path: Path) -> None:
    drawn().save(path := tmp_path / "p.png")
    path.chmod(0)
    assert "may not be read" in refusal(path)


def test_every_listed_format_is_known_to_pillow() -> None:
    Image.init()
    assert set(image_files._FORMATS) <= set(Image.OPEN)
