"""Image files as people bring them: what can be opened, and what a file is that cannot."""

from __future__ import annotations

import codecs
import re
import zlib
from io import BytesIO
from pathlib import Path

from PIL import Image

_FORMATS = (
    *("PNG", "JPEG", "WEBP", "AVIF", "GIF", "TIFF", "BMP", "DIB", "ICO", "ICNS", "CUR", "TGA", "PSD"),
    *("JPEG2000", "PPM", "PCX", "SGI", "QOI", "DDS", "XBM", "XPM", "MSP", "IM", "SPIDER", "SUN"),
)
"""Not those that run another program (EPS), or hold no pixels (stubs) or a video."""
MAX_PIXELS = 100_000_000
_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_CHUNKS = (b"IHDR", b"PLTE", b"tRNS", b"gAMA", b"cHRM", b"sRGB", b"iCCP", b"eXIf", b"IDAT", b"IEND")
_MAX_PROFILE = 2**20
"""Bytes of an unpacked colour profile; Pillow reads no larger one from a PNG."""
_MAX_EXIF = 2**16
_DNG_VERSION, _NEW_SUBFILE_TYPE, _REDUCED = 50706, 254, 1
_EXPORT = "export it as PNG or JPEG"
_RAW = f"is a camera's raw file: develop it, and {_EXPORT}."
_VIDEO = "is a video, not an image: export one of its frames as PNG."
_RAW_SUFFIXES = frozenset(
    (*(".3fr", ".arw", ".cr2", ".cr3", ".dng", ".erf", ".iiq", ".mef", ".mos", ".nef", ".nrw", ".orf"),)
    + (*(".pef", ".raf", ".raw", ".rw2", ".rwl", ".sr2", ".srf", ".srw"),)
)
_HEIC = f"is a HEIC photo, which cannot be read: {_EXPORT}."
_SIGNATURES = (
    (rb"\s*(<!--.*?-->\s*)*<(!doctype html|html|head|body|script)", "is a web page, not an image: open its"
     " address in a browser, and save the image itself."),
    (rb"\s*(<\?xml.*?\?>\s*)?(<!.*?>\s*)*<(\w+:)?svg\b", "is an SVG drawing: export it as PNG, at least"
     " as large as the clips."),
    (rb"%PDF", "is a PDF: export the page as PNG."),
    (rb"%!PS|\xc5\xd0\xd3\xc6", f"is a PostScript drawing: {_EXPORT}."),
    (rb".{4}ftyp(hei[cxms]|hev[cxms]|mif1|msf1)(?!.{4,40}avi[fs])", _HEIC),
    (rb".{4}ftypcrx |.{8}CR\x02|FUJIFILMCCD-RAW|II(RO|RS|U\x00)|MMOR", _RAW),
    (rb".{4}ftyp(?!avi[fs]|mif1|msf1|jp)|RIFF.{4}AVI |\x1a\x45\xdf\xa3|\x00\x00\x01\xba|FLV", _VIDEO),
    (rb"\xff\x0a|\x00\x00\x00\x0cJXL ", f"is a JPEG XL image, which cannot be read: {_EXPORT}."),
    (rb"\x76\x2f\x31\x01|#\?RADIANCE", f"is an image with more than 8 bits (EXR or HDR): {_EXPORT}."),
    (rb"gimp xcf|8BPS\x00\x02", f"is an image editor's own file: {_EXPORT}."),
    (rb"PK\x03\x04", f"is an archive or an image editor's own file: {_EXPORT}."),
    (rb"version https://git-lfs", "is a Git LFS pointer, not the image: run `git lfs pull`."),
)  # fmt: skip


def what_it_is_instead(path: Path) -> str | None:
    """What is wrong with a file that no image can be, and what to do; None if it may be one.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        head = file.read(1024)
    if not head:
        return "is empty: export it again, or check that its download was complete."
    if not head.strip(b"\0"):
        return "holds only zeros, as files do that were not copied to the end: copy it again."
    # Most raw files are TIFFs whose first image is a thumbnail.
    if path.suffix.lower() in _RAW_SUFFIXES:
        return _RAW
    for pattern, what in _SIGNATURES:
        if re.match(pattern, head.removeprefix(b"\xef\xbb\xbf"), re.DOTALL | re.IGNORECASE):
            return what
    return None


def open_image(file: Path | BytesIO) -> Image.Image:
    """Opens an image of a kind that may come from anywhere. Raises anything, as Pillow's decoders do."""
    Image.init()
    return Image.open(file, formats=[name for name in _FORMATS if name in Image.OPEN])


def too_large() -> str:
    """What is wrong with an image of more than MAX_PIXELS, and what to do; to be put after its name."""
    return f"has more than {MAX_PIXELS // 10**6} million pixels: make it smaller."


def unreadable(path: Path, error: Exception) -> str:
    """What is wrong with an image at which Pillow raised this, and what to do; to be put after its name."""
    if isinstance(error, Image.DecompressionBombError):
        return too_large()
    if isinstance(error, MemoryError):
        return "does not fit into memory: make it smaller."
    if "truncated" in str(error).lower():
        return "is cut off, its last part is missing: copy or download it again."
    if is_text(path):
        return "holds text, not an image: open it to see what it says, and save the image itself."
    return "cannot be read as an image, it is damaged or of an unknown kind: export it again as PNG or JPEG."


def is_thumbnail(image: Image.Image) -> bool:
    """Whether a TIFF is a camera's raw file, which begins with a small preview."""
    tags = getattr(image, "tag_v2", {})
    return _DNG_VERSION in tags or bool(int(tags.get(_NEW_SUBFILE_TYPE, 0)) & _REDUCED)


def is_text(path: Path) -> bool:
    """Whether a file that is no image holds text, such as a server's error message."""
    with path.open("rb") as file:
        head = file.read(1024)
    try:
        # The head may end within a character.
        text = codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return False
    return "".join(text.split()).isprintable()


def is_png(path: Path) -> bool:
    """Whether a file begins as a PNG does."""
    with path.open("rb") as file:
        return file.read(len(_PNG)) == _PNG


def essential_png(path: Path) -> tuple[BytesIO, bool]:
    """A PNG without its texts, without animation, and without an oversized colour profile.

    Returns:
        The PNG, and whether it lost its colour profile.
    """
    kept, lost_profile = BytesIO(), False
    kept.write(_PNG)
    with path.open("rb") as file:
        file.seek(len(_PNG))
        while len(header := file.read(8)) == 8:
            size, kind = int.from_bytes(header[:4]), header[4:]
            if kind not in _PNG_CHUNKS or (kind == b"eXIf" and size > _MAX_EXIF):
                file.seek(size + 4, 1)
                continue
            body = file.read(size + 4)
            if kind == b"iCCP" and not _is_usable_profile(body[:size]):
                lost_profile = True
                continue
            kept.write(header + body)
    kept.seek(0)
    return kept, lost_profile


def _is_usable_profile(chunk: bytes) -> bool:
    try:
        packed = chunk[chunk.index(b"\0") + 2 :]
        return len(zlib.decompressobj().decompress(packed, _MAX_PROFILE + 1)) <= _MAX_PROFILE
    except (ValueError, zlib.error):
        return False
