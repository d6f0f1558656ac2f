"""Images of every kind become what their author sees, or a sentence that says what to do."""

from __future__ import annotations

import struct
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms, PngImagePlugin

from driver.files import sha256_of
from driver.rendering.images import read_image
from driver.rendering.input_file import InputFile
from tests.rendering.image_files import SIZE, clean, drawn, pixels, read, refusal, with_hidden_colours

PLAIN = {
    "rgb.png": drawn(),
    "grey.png": drawn("L"),
    "palette.png": drawn().quantize(64),
    "bilevel.png": drawn("1"),
    "opaque.png": drawn("RGBA"),
    "grey-opaque.png": drawn("LA"),
    "rgb.jpg": drawn(),
    "grey.jpg": drawn("L"),
    "rgb.webp": drawn(),
    "opaque.webp": drawn("RGBA"),
    "rgb.bmp": drawn(),
}


@pytest.mark.parametrize("name", PLAIN)
def test_a_plain_image_is_used_as_it_is(name: str, tmp_path: Path) -> None:
    PLAIN[name].save(path := tmp_path / name)
    assert read(path) == InputFile(path, sha256_of(path))


def test_a_plain_image_may_have_an_srgb_profile_and_a_workflow(tmp_path: Path) -> None:
    text = PngImagePlugin.PngInfo()
    text.add_text("workflow", "{}" * 10_000)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    drawn().save(path := tmp_path / "comfy.png", pnginfo=text, icc_profile=profile)
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
    drawn().save(path := tmp_path / "text.png", pnginfo=text)
    # Only what is packed is beyond what ComfyUI's loader reads.
    if kind == "tEXt":
        assert read(path).path == path
    else:
        assert (clean(path) == pixels()).all()


@pytest.mark.parametrize("kind", [b"tEXt", b"iCCP", b"tIME", b"IDAT"])
def test_a_damaged_part_of_a_png_matters_if_it_holds_pixels(kind: bytes, tmp_path: Path) -> None:
    drawn().save(buffer := BytesIO(), "PNG")
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
    drawn().save(large := tmp_path / "large.png", icc_profile=b"x" * 2_000_000)
    assert (clean(large) == pixels()).all()
    drawn().save(broken := tmp_path / "broken.png", icc_profile=b"no profile")
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


def _save_key_colour(path: Path) -> None:
    image = Image.new("RGB", (80, 64), (255, 0, 0))
    image.paste((0, 255, 0), (0, 0, 40, 64))
    image.save(path, transparency=(0, 255, 0))


TRANSPARENT: dict[str, Callable[[Path], None]] = {
    "rgba.png": lambda path: with_hidden_colours("RGBA").save(path),
    "grey.png": lambda path: with_hidden_colours("LA").save(path),
    "palette.png": lambda path: with_hidden_colours("RGBA").quantize(8, Image.Quantize.FASTOCTREE).save(path),
    "key.png": _save_key_colour,
    "rgba.webp": lambda path: with_hidden_colours("RGBA").save(path, lossless=True),
    "rgba.tif": lambda path: with_hidden_colours("RGBA").save(path),
    "rgba.ico": lambda path: with_hidden_colours("RGBA").resize((64, 64)).save(path, sizes=[(64, 64)]),
    "rgba.gif": lambda path: with_hidden_colours("RGBA").save(path),
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
    drawn().save(path, exif=exif, **options)
    if orientation == 1 and suffix != "tif":
        assert read(path).path == path
    else:
        assert (clean(path) == TURNED[orientation](pixels())).all()


def test_exif_data_that_cannot_be_read_is_left_out(tmp_path: Path) -> None:
    drawn().save(path := tmp_path / "photo.png", exif=b"Exif\0\0no such thing")
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
    image = ImageCms.applyTransform(drawn(), ImageCms.buildTransform(*profiles, "RGB", "LAB"))
    assert image
    return image


OTHERS = {
    "cmyk.jpg": drawn("CMYK"),
    "cmyk.tif": drawn("CMYK"),
    "lab.tif": _lab(),
    "ycbcr.tif": drawn("YCbCr"),
    "rgb.tif": drawn(),
    "rgb.gif": drawn(),
    "rgb.avif": drawn(),
    "rgb.jp2": drawn(),
    "rgb.tga": drawn(),
    "rgb.ppm": drawn(),
    "rgb.qoi": drawn(),
    "rgb.pcx": drawn(),
    "rgb.ico": drawn(),
    "rgb.dds": drawn(),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_kinds_of_images_become_plain(name: str, tmp_path: Path) -> None:
    options: dict[str, Any] = {"sizes": [(80, 48)]} if name.endswith("ico") else {}
    OTHERS[name].save(path := tmp_path / name, **options)
    assert np.abs(clean(path) - pixels()).mean() < 8
    assert read(path).warnings == ()
