"""Drawing of text by libass, which shapes the scripts of the world: an ffmpeg process that streams images."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile
from typing import BinaryIO

import imageio_ffmpeg
import numpy as np

from .fonts import BUILT_IN, built_in_font, fontconfig
from .text import is_ignorable

_MISSING = re.compile(rb"failed to find any fallback with glyph 0x([0-9A-Fa-f]+)")
_NOISE = re.compile(r"libass|fontselect|Glyph 0x|Shaper|font provider|subtitle file|fontconfig", re.I)
_CJK = re.compile("[\u1100-\u11ff\u2e80-\u9fff\uac00-\ud7ff\uf900-\ufaff\uff00-\uffef\U00020000-\U0003ffff]")
_SYMBOL = re.compile("[\u2600-\u27bf\U0001f000-\U0001faff]")


def escaped(text: str) -> str:
    """Text as an ASS file holds it to be shown as it is written, on one line.

    A joiner, which is invisible, parts a backslash from the letter that it would turn into a command.
    """
    joined = re.sub(r"\\(?=[\\nNh{}])|\\$", "\\\\\u2060", text)
    return re.sub(r"[{}]", r"\\\g<0>", joined)


class Drawing:
    """A context manager for a process that draws an ASS file, one image for each second of it.

    It draws only a little ahead of what is read, so memory does not grow with the number of images.

    Args:
        write: writes the ASS file, whose PlayResX and PlayResY are `width` and `height`.
        width, height: of the images, in pixels.
        count: number of images.
        language: BCP 47, for the shapes of ideographs.

    Attributes:
        missing: at the end, the letters of the images that no font of this machine has.
    """

    def __init__(
        self, write: Callable[[Path], None], width: int, height: int, count: int, language: str
    ) -> None:
        self._write, self._count, self._language = write, count, language
        self._shape = height, width, 4
        self._stack = ExitStack()
        self.missing: list[str] = []

    def __enter__(self) -> Drawing:
        with ExitStack() as stack:
            folder = Path(stack.enter_context(TemporaryDirectory(prefix="captions-")))
            self._errors: BinaryIO = stack.enter_context(TemporaryFile())
            self._write(folder / "captions.ass")
            (folder / "fonts").mkdir()
            (folder / "fonts" / f"{BUILT_IN}.ttf").write_bytes(built_in_font())
            (folder / "fonts.conf").write_text(fontconfig(self._language), encoding="utf-8")
            self._process = subprocess.Popen(
                self._command(),
                cwd=folder,
                env=os.environ | {"FONTCONFIG_FILE": str(folder / "fonts.conf")},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=self._errors,
            )
            stack.callback(self._end)
            self._stack = stack.pop_all()
        return self

    def _command(self) -> list[str]:
        height, width, _ = self._shape
        source = f"color=c=black@0:s={width}x{height}:r=1:d={self._count},format=rgba"
        # Names without a folder, as a filter would take a colon in a path for the end of its option.
        return [
            *(imageio_ffmpeg.get_ffmpeg_exe(), "-hide_banner", "-nostats", "-nostdin", "-threads", "1"),
            *("-f", "lavfi", "-i", source, "-vf", "ass=f=captions.ass:fontsdir=fonts:alpha=1"),
            *("-f", "rawvideo", "-pix_fmt", "rgba", "-"),
        ]

    def read(self) -> np.ndarray:
        """The next image, uint8 [height, width, 4]: red, green and blue, multiplied by alpha, and alpha.

        Raises:
            RuntimeError: the process failed.
        """
        image = np.empty(self._shape, np.uint8)
        stream, view = self._process.stdout, image.reshape(-1).data
        assert stream is not None
        while view:
            size = stream.readinto(view)  # type: ignore[attr-defined]
            if not size:
                raise RuntimeError(self._failure())
            view = view[size:]
        return image

    def _failure(self) -> str:
        code = self._process.wait()
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").splitlines()
        said = [line for line in lines if line.strip() and not _NOISE.search(line)][-5:]
        return (
            f"ffmpeg ended with code {code} while it drew the captions. Its ass filter is needed: if "
            "IMAGEIO_FFMPEG_EXE names another ffmpeg than that of imageio-ffmpeg, unset it. ffmpeg said: "
            + (" ".join(said) or "nothing")
        )

    def _end(self) -> None:
        self._process.kill()
        self._process.wait()
        if self._process.stdout:
            self._process.stdout.close()
        self._errors.seek(0)
        found = {chr(int(number, 16)) for line in self._errors for number in _MISSING.findall(line)}
        self.missing = sorted(letter for letter in found if not is_ignorable(letter))

    def __exit__(self, *error: object) -> None:
        self._stack.close()


def packages_for(letters: Iterable[str]) -> list[str]:
    """Debian's packages with fonts for these letters.

    Emoji come from a font of outlines, as libass draws no images and no colours of a font.
    """
    return sorted(
        {
            "fonts-noto-cjk"
            if _CJK.match(letter)
            else "fonts-symbola"
            if _SYMBOL.match(letter)
            else "fonts-noto-core"
            for letter in letters
        }
    )
