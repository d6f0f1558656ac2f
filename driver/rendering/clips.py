"""A scene's own clip: read to its end and decoded here and there, before anything is rendered."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from fractions import Fraction
from math import floor
from pathlib import Path
from threading import Semaphore

import av
import av.logging
from av.container import InputContainer
from av.stream import Disposition

from story_studio.signal.media_file import MediaFile, peek, restricted_to, what_else
from story_studio.story.levels import MAX_SECONDS, MIN_SECONDS

from ..files import sha256_of
from .image_files import what_it_is_instead
from .input_file import InputFile, must_exist

_CONTAINERS = "asf,avi,flv,gif,matroska,mov,mpeg,mpegts,mxf,nut,ogg,aac,aiff,flac,mp3,wav"
"""Formats whose demuxers read nothing but the file itself; those of sound alone are recognised."""
_MAX_PIXELS = 8192 * 4320
_MAX_BYTES = 2**31 - 2**24
"""What a server takes at once: 2 GB, with the rest of the request."""
_APART = 1.0
"""Seconds, at least, between the frames that are decoded: all of a long clip would take minutes."""
_NOTICED = 0.5
"""Seconds of video whose loss is noticed."""
_MOST_FAILURES = 100
_SMALL = 4
"""A warning is due if the frame has this many times the pixels of the clip."""
_HDR = {16: "PQ", 18: "HLG"}
"""Transfer functions (ITU-T H.273, table 3)."""
_EXPORT = "export it again as MP4 (H.264 with AAC sound)"
_ONE_IMAGE = "is a single image, not a video: name it under `image`."
_decoding = Semaphore(2)
"""Decoders of large frames that work at the same time hold a gigabyte each."""


class _Unfit(ValueError):
    """What is wrong with a clip, after its name, and what to do."""


@dataclass(frozen=True)
class OwnClip(InputFile):
    """A scene's own clip.

    Attributes:
        seconds: how long its video is.
        has_audio: whether it has audio that can be decoded.
        bad_audio: the codec of audio that cannot be decoded; empty if there is none.
    """

    seconds: float
    has_audio: bool
    bad_audio: str = ""

    def problem(self, start: float, end: float) -> tuple[str, str] | None:
        """What is wrong with the part from `start` to `end` seconds (0 for the end): the field of the scene,
        and a sentence; None if nothing is."""
        lasts = f"{self.path.name} lasts {floor(self.seconds * 100) / 100:g} s"
        if start >= self.seconds:
            return "from", f"is {start:g} s, and {lasts}: choose an earlier second."
        if end > self.seconds + _NOTICED:
            return "to", f"is {end:g} s, and {lasts}: choose an earlier second, or leave it out."
        used = self.used(start, end)
        if used < MIN_SECONDS:
            return "clip", f"{lasts}, of which {used:.2g} s are used: a scene needs at least {MIN_SECONDS} s."
        if used > MAX_SECONDS:
            return "clip", f"{lasts}: use at most 30 min of it, by `from` and `to`."
        return None

    def used(self, start: float, end: float) -> float:
        """How many seconds lie between `start` and `end` (0 for the end)."""
        return (min(end, self.seconds) if end else self.seconds) - start


@dataclass
class _Measured:
    """What was found by reading a clip to its end.

    Attributes:
        start, end: of the video, in seconds, by its time stamps.
        frames: how many frames there are.
        declared: seconds that the file says its video has; 0 if it does not say.
        decoded, failed: frames that could and could not be decoded, of those that were tried.
        failed_at: seconds at which the first one failed.
    """

    start: float = float("inf")
    end: float = 0.0
    frames: int = 0
    declared: float = 0.0
    decoded: int = 0
    failed: int = 0
    failed_at: float = 0.0
    has_audio: bool = False
    bad_audio: str = ""
    warnings: list[str] = field(default_factory=list)
    needs_copy: bool = False

    @property
    def seconds(self) -> float:
        """How long the video is."""
        return max(0.0, self.end - self.start)


def read_clip(path: Path, folder: Path, size: tuple[int, int]) -> OwnClip:
    """Reads a clip to its end and decodes a key frame a second of it, and the beginning of its sound.

    A clip that ComfyUI's loader opens is passed on as it is. Where the loader fails, on tags that are not
    UTF-8, a copy of the same streams without tags takes its place.

    Args:
        path: the clip.
        folder: an existing folder for the copy, if one has to be made.
        size: width and height of the story's frames.

    Raises:
        ValueError: it is missing, not a video, broken, or too large.
    """
    must_exist(path)
    try:
        with _decoding:
            measured = _measure(path, size)
        if problem := _problem(measured):
            raise _Unfit(problem)
        if measured.needs_copy:
            path = _copy(path, folder)
    except _Unfit as unfit:
        raise ValueError(f"{path.name} {unfit}") from None
    except PermissionError:
        raise ValueError(f"{path.name} may not be read: change its permissions.") from None
    except Exception:
        # Demuxers, decoders and PyAV raise anything.
        raise ValueError(f"{path.name} cannot be read as a video: {_EXPORT}.") from None
    warnings = tuple(f"{path.name} {what}" for what in (*measured.warnings, *_damages(measured)))
    sound = measured.has_audio, measured.bad_audio
    return OwnClip(path, sha256_of(path), measured.seconds, *sound, warnings=warnings)


def _measure(path: Path, size: tuple[int, int]) -> _Measured:
    if path.stat().st_size > _MAX_BYTES:
        raise _Unfit("is larger than 2 GB: cut it to what the film shows, or export it smaller.")
    measured = _Measured()
    # At first without any decoder of images, which would decode a frame of any size to learn its size.
    with path.open("rb") as file, _open(path, file, audio_only=True)[0] as container:
        _check_streams(path, container)
    with path.open("rb") as file:
        container, measured.needs_copy = _open(path, file, audio_only=False)
        with container:
            stream = container.streams.video[0]
            measured.declared = _seconds(stream.duration, stream.time_base)
            measured.warnings += _warnings(stream, size)
            _read(container, stream, measured)
    return measured


def _open(path: Path, file: object, audio_only: bool) -> tuple[InputContainer, bool]:
    """The file as a container, and whether its tags are not UTF-8."""
    for errors in ("strict", "replace"):
        # FFmpegError, ValueError, UnicodeDecodeError, OverflowError ...
        with suppress(Exception), av.logging.Capture():
            container = av.open(
                MediaFile(file, path),  # pyright: ignore[reportArgumentType]
                metadata_errors=errors,
                container_options=restricted_to(_CONTAINERS, audio_only),
            )
            assert isinstance(container, InputContainer)
            return container, errors == "replace"
    raise _Unfit(_instead(path))


def _instead(path: Path) -> str:
    """What a file is that no video can be, and what to do."""
    with path.open("rb") as file:
        head = peek(file)
    if what_else(head) == "empty":
        return "is empty: export it again, or check that its download was complete."
    if what_else(head) == "text":
        return "is a text such as a web page or a playlist, not a video: choose the video itself."
    if not head.strip(b"\0"):
        return "holds only zeros, as files do that were not copied to the end: copy it again."
    if head.startswith((b"\x89PNG", b"\xff\xd8\xff", b"BM", b"II*\0", b"MM\0*")) or head[8:12] == b"WEBP":
        return _ONE_IMAGE
    if head[4:8] == b"ftyp" and (what := what_it_is_instead(path)) and "HEIC" in what:
        return f"is a HEIC photo, not a video: export it as PNG or JPEG, and {_ONE_IMAGE.partition(': ')[2]}"
    if head[4:8] == b"ftyp":
        return "is cut off, its last part with the index is missing: copy or download it again."
    return f"cannot be read as a video, it is damaged or of an unknown kind: {_EXPORT}."


def _check_streams(path: Path, container: InputContainer) -> None:
    # The cover of an audio file does not count; a video's own comes after its video.
    if all(stream.disposition & Disposition.attached_pic for stream in container.streams.video):
        if container.streams.audio:
            raise _Unfit("has sound and no video: name it under `audio`, and give the scene an image.")
        raise _Unfit(f"has no video in it: choose another file, or {_EXPORT}.")
    for stream in container.streams.video:
        width, height = stream.codec_context.width, stream.codec_context.height
        if width * height > _MAX_PIXELS:
            raise _Unfit(f"is too large ({width}x{height} pixels): export it at the size of the film.")


def _warnings(stream: av.VideoStream, size: tuple[int, int]) -> Iterator[str]:
    """What the user should know about the frames, as ends of sentences that start with the clip's name."""
    context = stream.codec_context
    if hdr := _HDR.get(int(context.color_trc or 0)):
        yield f"is HDR ({hdr}), and films are not: its colours will look pale. Export it as SDR (Rec. 709)."
    # Frames of a GIF are drawn over each other.
    has_alpha = context.format is not None and any(part.is_alpha for part in context.format.components)
    if has_alpha and context.name != "gif":
        yield "can be transparent, which films cannot: put it on a background of your own."
    if context.width * context.height * _SMALL < size[0] * size[1]:
        yield f"is small ({context.width}x{context.height} pixels), and will look soft in the film."


def _read(container: InputContainer, stream: av.VideoStream, measured: _Measured) -> None:
    """Reads all packets; decodes some key frames, and the first frame of the sound."""
    sound = next(iter(container.streams.audio), None)
    # PyAV frees a decoder while holding the GIL, and its log callback in the decoder's threads waits for the
    # GIL: with threads, abandoning a decoder early can deadlock the process.
    stream.codec_context.thread_count = 1
    base, last, tried = stream.time_base or Fraction(1, 1000), -float("inf"), 0
    silent = sound is None
    for packet in _packets(container, [stream, *([sound] if sound else [])]):
        time = packet.pts if packet.pts is not None else packet.dts
        if packet.stream is sound:
            silent = silent or _has_sound(packet, measured)
            continue
        if time is None or not packet.size:
            continue
        measured.frames += 1
        seconds = _seconds(time, base)
        measured.start = min(measured.start, seconds)
        measured.end = max(measured.end, seconds + _seconds(packet.duration or 0, base))
        if packet.is_keyframe and seconds >= last + _APART:
            last, tried = seconds, tried + 1
            _decode(packet, stream, measured, seconds)
    with suppress(Exception):
        measured.decoded += len(stream.decode(None))
    # Broken key frames may also give no frame and no error.
    measured.failed = max(measured.failed, tried - measured.decoded)
    if sound is not None and not measured.has_audio:
        measured.bad_audio = sound.codec_context.name if sound.codec_context else "unknown"


def _packets(
    container: InputContainer, streams: list[av.VideoStream | av.AudioStream]
) -> Iterator[av.Packet]:
    failures = 0
    while failures < _MOST_FAILURES:
        try:
            for packet in container.demux(streams):
                failures = 0
                yield packet
            return
        except GeneratorExit:
            raise
        except Exception:
            failures += 1


def _has_sound(packet: av.Packet, measured: _Measured) -> bool:
    with suppress(Exception):
        measured.has_audio = bool(packet.decode())
    return measured.has_audio


def _decode(packet: av.Packet, stream: av.VideoStream, measured: _Measured, seconds: float) -> None:
    try:
        frames = stream.decode(packet)
        measured.decoded += sum(not frame.is_corrupt for frame in frames)
    except Exception:
        measured.failed_at = measured.failed_at if measured.failed else seconds
        measured.failed += 1


def _problem(measured: _Measured) -> str | None:
    if measured.failed > measured.decoded or not measured.decoded:
        return f"is damaged or protected, and most of it cannot be decoded: {_EXPORT}."
    return _ONE_IMAGE if measured.frames == 1 else None


def _damages(measured: _Measured) -> Iterator[str]:
    if measured.failed:
        minutes, seconds = divmod(int(measured.failed_at), 60)
        yield f"is damaged at {minutes}:{seconds:02}: look at it, and copy or export it again."
    elif measured.declared > measured.seconds + _NOTICED:
        yield (
            f"should last {measured.declared:.1f} s, and only {measured.seconds:.1f} s can be read: copy or "
            "download it again."
        )


def _copy(path: Path, folder: Path) -> Path:
    """The video and the sound without tags, as they are."""
    is_mov = False
    with path.open("rb") as file, _open(path, file, audio_only=False)[0] as source:
        is_mov = "mov" in source.format.name
        copy = folder / f"{path.stem[:40]}-clean{'.mov' if is_mov else '.mkv'}"
        streams = [source.streams.video[0], *source.streams.audio[:1]]
        # Without the writer's version and random numbers, so that the same clip gives the same bytes.
        with av.open(str(copy), "w", options={"fflags": "+bitexact"}) as target:
            copies = {stream.index: target.add_stream_from_template(stream) for stream in streams}
            for packet in source.demux(streams):
                if packet.dts is not None:
                    packet.stream = copies[packet.stream.index]
                    target.mux(packet)
    return copy


def _seconds(time: int | None, base: Fraction | None) -> float:
    return float((time or 0) * (base or 0))
