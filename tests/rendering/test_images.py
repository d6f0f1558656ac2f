"""Images of every kind become what their author sees, or a sentence that says what to do."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms, PngImagePlugin

from driver.files import sha256_of
from driver.rendering import image_files
from driver.rendering.image_pixels import scaled_size
from driver.rendering.images import read_image
from driver.rendering.input_file import InputFile
from story_studio.s2v.timeline import fit_size

SIZE = (64, 64)
SHAPE = (48, 80, 3)


def pixels(seed: int = 0, shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    """Smooth colours, which JPEG keeps."""
    rows, columns = np.mgrid[0 : shape[0], 0 : shape[1]]
    channels = [rows * 4 + seed, columns * 3, 255 - rows * 2 - columns]
    return np.stack(channels, -1).clip(0, 255).astype(np.uint8)


def picture(mode: str = "RGB") -> Image.Image:
    return Image.fromarray(pixels()).convert(mode)


def read(path: Path, size: tuple[int, int] = SIZE) -> InputFile:
    folder = path.parent / "copies"
    folder.mkdir(exist_ok=True)
    return read_image(path, folder, size)


def clean(path: Path, size: tuple[int, int] = SIZE) -> np.ndarray:
    """The pixels of the clean copy, which has nothing else in it."""
    file = read(path, size)
    assert file.path != path
    assert file.sha256 == sha256_of(file.path)
    with Image.open(file.path) as image:
        assert (image.format, image.mode) == ("PNG", "RGB")
        assert not image.info
        return np.asarray(image).astype(int)


def refusal(path: Path) -> str:
    with pytest.raises(ValueError) as caught:
        read(path)
    assert type(caught.value) is ValueError
    message = str(caught.value)
    assert message.startswith(f"{path.name} ")
    return message


PLAIN = {
    "rgb.png": picture(),
    "grey.png": picture("L"),
    "palette.png": picture().quantize(64),
    "bilevel.png": picture("1"),
    "opaque.png": picture("RGBA"),
    "grey-opaque.png": picture("LA"),
    "rgb.jpg": picture(),
    "grey.jpg": picture("L"),
    "rgb.webp": picture(),
    "opaque.webp": picture("RGBA"),
    "rgb.bmp": picture(),
}


@pytest.mark.parametrize("name", PLAIN)
def test_a_plain_image_is_used_as_it_is(name: str, tmp_path: Path) -> None:
    PLAIN[name].save(path := tmp_path / name)
    assert read(path) == InputFile(path, sha256_of(path))


def test_a_plain_image_may_have_an_srgb_profile_and_a_workflow(tmp_path: Path) -> None:
    text = PngImagePlugin.PngInfo()
    text.add_text("workflow", "{}" * 10_000)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    picture().save(path := tmp_path / "comfy.png", pnginfo=text, icc_profile=profile)
    assert read(path) == InputFile(path, sha256_of(path))


def test_a_clean_copy_has_the_same_bytes_every_time(tmp_path: Path) -> None:
    Image.fromarray(pixels(shape=(1800, 2400, 3))).save(path := tmp_path / "large.jpg")
    hashes = set()
    for name in "ab":
        (tmp_path / name).mkdir()
        hashes.add(read_image(path, tmp_path / name, SIZE).sha256)
    assert len(hashes) == 1


@pytest.mark.parametrize("kind", ["tEXt", "zTXt", "iTXt"])
def test_a_png_may_have_any_amount_of_text(kind: str, tmp_path: Path) -> None:
    text = PngImagePlugin.PngInfo()
    words = "word " * 500_000
    if kind == "iTXt":
        text.add_itxt("workflow", words, zip=True)
    else:
        text.add_text("workflow", words, zip=kind == "zTXt")
    picture().save(path := tmp_path / "text.png", pnginfo=text)
    # Only what is packed is beyond what ComfyUI's loader reads.
    if kind == "tEXt":
        assert read(path).path == path
    else:
        assert (clean(path) == pixels()).all()


@pytest.mark.parametrize("kind", [b"tEXt", b"iCCP", b"tIME", b"IDAT"])
def test_a_damaged_part_of_a_png_matters_if_it_holds_pixels(kind: bytes, tmp_path: Path) -> None:
    picture().save(buffer := BytesIO(), "PNG")
    data = buffer.getvalue()
    if kind == b"IDAT":
        at = data.index(b"IDAT") + 12
        (path := tmp_path / "damaged.png").write_bytes(data[:at] + b"\xff\xff\xff\xff" + data[at + 4 :])
        assert "damaged" in refusal(path)
        return
    chunk = struct.pack(">I", 12) + kind + b"name\0\0damage" + b"\0\0\0\0"
    end = data.index(b"IDAT") - 4
    (path := tmp_path / "damaged.png").write_bytes(data[:end] + chunk + data[end:])
    assert (clean(path) == pixels()).all()


def test_a_large_or_broken_profile_is_left_out_with_a_warning(tmp_path: Path) -> None:
    picture().save(large := tmp_path / "large.png", icc_profile=b"x" * 2_000_000)
    assert (clean(large) == pixels()).all()
    picture().save(broken := tmp_path / "broken.png", icc_profile=b"no profile")
    for path in (large, broken):
        (warning,) = read(path).warnings
        assert warning.startswith(f"{path.name} has a colour profile that cannot be used")
    assert read(broken).path == broken


def test_colours_become_srgb(tmp_path: Path) -> None:
    linear = _rgb_profile(gamma=1.0)
    Image.new("RGB", (64, 64), (55, 55, 55)).save(path := tmp_path / "linear.png", icc_profile=linear)
    assert clean(path)[30, 30] == pytest.approx([128, 128, 128], abs=2)
    Image.new("RGBA", (64, 64), (55, 55, 55, 0)).save(path := tmp_path / "alpha.png", icc_profile=linear)
    assert (clean(path) == 255).all()
    Image.new("P", (64, 64)).save(path := tmp_path / "palette.png", icc_profile=linear)
    assert read(path).warnings == ()


def _rgb_profile(gamma: float) -> bytes:
    """An ICC profile with the colours of sRGB and another curve."""
    data = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    for number in range(struct.unpack_from(">I", data, 128)[0]):
        name, at, _ = struct.unpack_from(">4sII", data, 132 + 12 * number)
        if name in (b"rTRC", b"gTRC", b"bTRC"):
            struct.pack_into(">4sIHHi", data, at, b"para", 0, 0, 0, round(gamma * 65536))
    return bytes(data)


def _grey(values: np.ndarray) -> Callable[[Path], None]:
    return lambda path: Image.fromarray(values).save(path)


RAMP = np.linspace(0, 1, 64, dtype=np.float32)[None].repeat(64, 0)
DEEP = {
    "16.png": (_grey((RAMP * 65535).astype(np.uint16)), ""),
    "16.tif": (_grey((RAMP * 65535).astype(np.uint16)), ""),
    "32-of-8.tif": (_grey((RAMP * 255).astype(np.int32)), "255"),
    "32-of-16.tif": (_grey((RAMP * 65535).astype(np.int32)), "65535"),
    "32.tif": (_grey((RAMP.astype(np.float64) * 2e9).astype(np.int32)), "2e+09"),
    "float.tif": (_grey(RAMP), "1"),
    "float-of-8.tif": (_grey(RAMP * 255), "255"),
    "float-of-16.tif": (_grey(RAMP * 65535), "65535"),
}


@pytest.mark.parametrize("name", DEEP)
def test_greys_of_more_than_8_bits_keep_their_range(name: str, tmp_path: Path) -> None:
    save, white = DEEP[name]
    save(path := tmp_path / name)
    assert np.abs(clean(path) - (RAMP * 255)[..., None]).max() <= 1
    warnings = read(path).warnings
    assert [f"of which {white} was taken as white" in warning for warning in warnings] == [True] * bool(white)


def test_floats_that_are_no_numbers_are_no_harm(tmp_path: Path) -> None:
    values = RAMP.copy()
    values[0, :3] = np.nan, np.inf, -np.inf
    values[1, 0] = 1.5
    Image.fromarray(values).save(path := tmp_path / "nan.tif")
    assert clean(path)[0, :3, 0].tolist() == [0, 255, 0]
    assert clean(path)[1:, 63].min() == 255


@pytest.mark.parametrize("level", [0, 5000, 65535])
def test_a_dark_image_of_16_bits_stays_dark(level: int, tmp_path: Path) -> None:
    Image.fromarray(np.full((64, 64), level, np.uint16)).save(path := tmp_path / "dark.png")
    assert clean(path)[5, 5, 0] == round(level / 257)


def _hidden(mode: str) -> Image.Image:
    """Red whose left half is hidden and whose right half is opaque."""
    image = Image.new("RGBA", (80, 64), (255, 0, 0, 255))
    image.paste((0, 255, 0, 0), (0, 0, 40, 64))
    return image if mode == "RGBA" else image.convert(mode)


def _save_key_colour(path: Path) -> None:
    image = Image.new("RGB", (80, 64), (255, 0, 0))
    image.paste((0, 255, 0), (0, 0, 40, 64))
    image.save(path, transparency=(0, 255, 0))


TRANSPARENT: dict[str, Callable[[Path], None]] = {
    "rgba.png": lambda path: _hidden("RGBA").save(path),
    "grey.png": lambda path: _hidden("LA").save(path),
    "palette.png": lambda path: _hidden("RGBA").quantize(8, Image.Quantize.FASTOCTREE).save(path),
    "key.png": _save_key_colour,
    "rgba.webp": lambda path: _hidden("RGBA").save(path, lossless=True),
    "rgba.tif": lambda path: _hidden("RGBA").save(path),
    "rgba.ico": lambda path: _hidden("RGBA").resize((64, 64)).save(path, sizes=[(64, 64)]),
    "rgba.gif": lambda path: _hidden("RGBA").save(path),
}


@pytest.mark.parametrize("name", TRANSPARENT)
def test_transparent_parts_become_white(name: str, tmp_path: Path) -> None:
    TRANSPARENT[name](path := tmp_path / name)
    result = clean(path)
    assert (result[:, :20] == 255).all()
    assert result[30, 60, 1] < 128
    assert "is transparent in places, which become white" in read(path).warnings[0]


def test_half_transparent_colours_are_mixed_with_white(tmp_path: Path) -> None:
    Image.new("RGBA", (64, 64), (200, 0, 0, 128)).save(path := tmp_path / "half.png")
    assert clean(path)[0, 0] == pytest.approx([227, 127, 127], abs=1)


TURNED = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.rot90(a, 1)[:, ::-1],
    8: lambda a: np.rot90(a, 1),
}


@pytest.mark.parametrize("orientation", TURNED)
@pytest.mark.parametrize("suffix", ["png", "tif", "webp"])
def test_the_orientation_is_applied(orientation: int, suffix: str, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"photo.{suffix}"
    options: dict[str, Any] = {"lossless": True} if suffix == "webp" else {}
    picture().save(path, exif=exif, **options)
    if orientation == 1 and suffix != "tif":
        assert read(path).path == path
    else:
        assert (clean(path) == TURNED[orientation](pixels())).all()


def test_exif_data_that_cannot_be_read_is_left_out(tmp_path: Path) -> None:
    picture().save(path := tmp_path / "photo.png", exif=b"Exif\0\0no such thing")
    assert (clean(path) == pixels()).all()


FRAMES = [Image.fromarray(pixels(seed)) for seed in (0, 60, 120)]
ANIMATED = {
    "moving.gif": {},
    "moving.webp": {"lossless": True},
    "moving.png": {},
    "pages.tif": {},
    "moving.avif": {"quality": 100, "subsampling": "4:4:4"},
}


@pytest.mark.parametrize("name", ANIMATED)
def test_only_the_first_frame_is_used(name: str, tmp_path: Path) -> None:
    FRAMES[0].save(path := tmp_path / name, save_all=True, append_images=FRAMES[1:], **ANIMATED[name])
    assert np.abs(clean(path) - pixels()).mean() < 8
    (warning,) = read(path).warnings
    assert ("several pages" if name.endswith("tif") else "several frames") in warning


def test_a_photo_with_a_preview_beside_it_needs_no_warning(tmp_path: Path) -> None:
    FRAMES[0].save(path := tmp_path / "phone.jpg", "MPO", save_all=True, append_images=FRAMES[1:2])
    assert np.abs(clean(path) - pixels()).mean() < 8
    assert read(path).warnings == ()


def _lab() -> Image.Image:
    profiles = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    image = ImageCms.applyTransform(picture(), ImageCms.buildTransform(*profiles, "RGB", "LAB"))
    assert image
    return image


OTHERS = {
    "cmyk.jpg": picture("CMYK"),
    "cmyk.tif": picture("CMYK"),
    "lab.tif": _lab(),
    "ycbcr.tif": picture("YCbCr"),
    "rgb.tif": picture(),
    "rgb.gif": picture(),
    "rgb.avif": picture(),
    "rgb.jp2": picture(),
    "rgb.tga": picture(),
    "rgb.ppm": picture(),
    "rgb.qoi": picture(),
    "rgb.pcx": picture(),
    "rgb.ico": picture(),
    "rgb.dds": picture(),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_kinds_of_images_become_plain(name: str, tmp_path: Path) -> None:
    options: dict[str, Any] = {"sizes": [(80, 48)]} if name.endswith("ico") else {}
    OTHERS[name].save(path := tmp_path / name, **options)
    assert np.abs(clean(path) - pixels()).mean() < 8
    assert read(path).warnings == ()


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
        picture("LA").save(path := tmp_path / name, "PNG")
        assert read(path).path == path
        _hidden("RGBA").save(path, "PNG")
        assert (clean(path)[:, :20] == 255).all()


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_named(tmp_path: Path) -> None:
    picture().save(path := tmp_path / "p.png")
    path.chmod(0)
    assert "may not be read" in refusal(path)


def test_every_listed_format_is_known_to_pillow() -> None:
    Image.init()
    assert set(image_files._FORMATS) <= set(Image.OPEN)
