"""Decoding audio that nobody has checked: whatever can be decoded, in blocks, and what was noticed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import BinaryIO

import av
import numpy as np
from av.container import InputContainer
from av.stream import Disposition

from .media_file import MediaFile, peek, restricted_to, what_else
from .stated_length import is_cut_off, stated_seconds

_CONTAINERS = (
    "aac,ac3,aiff,amr,amrnb,amrwb,ape,asf,au,avi,caf,dsf,dts,dtshd,eac3,flac,flv,gsm,iff,loas,matroska,mlp,"
    "mov,mp3,mpc,mpc8,mpeg,mpegts,mxf,nut,ogg,oma,qcp,rm,shn,sox,tak,truehd,tta,voc,w64,wav,wv,xwma"
)
"""Formats whose demuxers read nothing but the file itself, unlike playlists and subtitles."""
_BLOCK = 2**16
"""Samples of a block, at least."""
_MOST_FAILURES = 1000
"""Read errors without a packet in between after which the rest of a file is given up."""
_SEARCHED, _MOST_STARTS = 2**16, 16
_STARTS = re.compile(
    rb"RIFF....WAVE|fLaC\0|OggS\0|ID3[\2-\4]|FORM....AIF[FC]|....ftyp|\x1aE\xdf\xa3", re.DOTALL
)
"""What audio files start with, where something else stands in front: a form's headers, a text's mark."""
_LOADABLE = {"s16", "s16p", "s32", "s32p", "flt", "fltp", "dbl", "dblp"}
"""Sample formats that ComfyUI's loader converts."""
_MOST_PLANES = 8
_SCALES = {"int16": 2**15, "int32": 2**31}


class NotAudio(Exception):
    """The file is not of a known kind; it may be "empty" or a "text"."""


class NoAudio(Exception):
    """The file is of a known kind, and has no audio."""


@dataclass
class Findings:
    """What was noticed in a recording; complete when it is decoded.

    Attributes:
        needs_copy: ComfyUI's loader fails on the file, or reads something else from it than was decoded here.
        streams: how many audio streams there are.
        stream: the index among them of the one that is decoded.
        packets: packets that could be decoded.
        failures: packets that could not be decoded.
        failed_at: seconds decoded before the first failure.
        decoded: seconds decoded in all.
        lost: seconds of the packets that could not be decoded, where they say how long they are.
        declared: seconds that the file says it has; 0 if it does not say.
        is_cut_off: whether the end of the file is missing, of a format that says no length.
    """

    needs_copy: bool = False
    streams: int = 0
    stream: int = 0
    packets: int = 0
    failures: int = 0
    failed_at: float = 0.0
    lost: float = 0.0
    decoded: float = 0.0
    declared: float = 0.0
    is_cut_off: bool = False


@dataclass(frozen=True)
class Block:
    """Float32 audio [channels, samples] at `rate` Hz."""

    samples: np.ndarray
    rate: int


def decode(path: Path, findings: Findings) -> Iterator[Block]:
    """Decodes the default audio stream of a file in constant memory, past everything that is broken.

    The file cannot make the decoder open another one, or an address.

    Raises:
        NotAudio, NoAudio, OSError: it cannot be opened, or has no audio stream.
    """
    with path.open("rb") as file, ExitStack() as stack:
        container, start = _open(file, path, findings)
        stack.enter_context(container)
        stream = _default(container, findings)
        # PyAV frees a decoder while holding the GIL, and its log callback in the decoder's threads waits for
        # the GIL: with threads, abandoning a decoder early can deadlock the process.
        stream.codec_context.thread_count = 1
        opened = (stream.codec_context.sample_rate, stream.channels)
        findings.declared = stated_seconds(container, stream, file, start)
        findings.is_cut_off = is_cut_off(container, file)
        kinds = set[str]()
        for block, kind in _blocks(_frames(container, stream, findings)):
            kinds.add(kind)
            # It would end ComfyUI.
            findings.needs_copy |= _overruns(kind, len(block.samples))
            findings.needs_copy |= (block.rate, len(block.samples)) != opened
            yield block
        findings.needs_copy |= len(kinds) > 1 or not kinds <= _LOADABLE


def _open(file: BinaryIO, path: Path, findings: Findings) -> tuple[InputContainer, int]:
    """Opens a file whose tags may have any encoding, and which may start with something else.

    Returns:
        The file, and the byte at which it starts.

    Raises:
        NotAudio: with the reason as far as it is known.
    """
    for start in _possible_starts(file):
        for errors in ("strict", "replace"):
            # Decoders and PyAV raise anything: FFmpegError, ValueError, UnicodeDecodeError, OverflowError ...
            with suppress(Exception):
                container = av.open(
                    MediaFile(file, path, start),
                    metadata_errors=errors,
                    container_options=restricted_to(_CONTAINERS),
                )
                assert isinstance(container, InputContainer)
                findings.needs_copy |= start > 0 or errors == "replace"
                return container, start
    raise NotAudio(what_else(peek(file)))


def _possible_starts(file: BinaryIO) -> Iterator[int]:
    yield 0
    head = peek(file, _SEARCHED)
    yield from (match.start() for match in islice(_STARTS.finditer(head), _MOST_STARTS) if match.start())


def _default(container: InputContainer, findings: Findings) -> av.AudioStream:
    """The stream that players choose: the one that is marked as the default, or the first."""
    streams = container.streams.audio
    if not streams:
        raise NoAudio
    defaults = (i for i, stream in enumerate(streams) if stream.disposition & Disposition.default)
    findings.streams, findings.stream = len(streams), next(defaults, 0)
    findings.needs_copy |= findings.stream > 0
    return streams[findings.stream]


def _frames(container: InputContainer, stream: av.AudioStream, findings: Findings) -> Iterator[av.AudioFrame]:
    for packet in _packets(container, stream, findings):
        try:
            frames = packet.decode() if packet else stream.decode(None)
        except Exception as error:
            if not isinstance(error, EOFError):
                _fail(findings, packet)
            continue
        findings.packets += 1
        for frame in frames:
            if frame.samples and frame.sample_rate:
                findings.decoded += frame.samples / frame.sample_rate
                yield frame


def _packets(
    container: InputContainer, stream: av.AudioStream, findings: Findings
) -> Iterator[av.Packet | None]:
    """The packets of a stream, and None where the decoder has to be flushed."""
    failures = 0
    while failures < _MOST_FAILURES:
        try:
            for packet in container.demux(stream):
                failures = 0
                yield packet
            return
        except Exception:
            failures += 1
    yield None


def _fail(findings: Findings, packet: av.Packet | None) -> None:
    findings.needs_copy = True
    findings.failed_at = findings.failed_at if findings.failures else findings.decoded
    findings.failures += 1
    if packet and packet.duration:
        findings.lost += float(packet.duration * packet.time_base)


def _blocks(frames: Iterator[av.AudioFrame]) -> Iterator[tuple[Block, str]]:
    """Joins frames to blocks of one kind, and names their sample format."""
    parts: list[np.ndarray] = []
    kind, size, resampler = (0, 0, ""), 0, None
    for frame in frames:
        of_frame = (frame.sample_rate, frame.layout.nb_channels, frame.format.name)
        if parts and (of_frame != kind or size >= _BLOCK):
            yield _joined(parts, *kind)
            parts, size = [], 0
        resampler = resampler if of_frame == kind else _resampler(frame)
        kind, size = of_frame, size + frame.samples
        parts += [part.to_ndarray() for part in (resampler.resample(frame) if resampler else [frame])]
    if parts:
        yield _joined(parts, *kind)


def _resampler(frame: av.AudioFrame) -> av.AudioResampler | None:
    """Converts frames that PyAV cannot make arrays of."""
    name = frame.format.name
    is_unfit = name.startswith("s64") or _overruns(name, frame.layout.nb_channels)
    return av.AudioResampler("dbl") if is_unfit else None


def _overruns(kind: str, channels: int) -> bool:
    """Whether PyAV reads beyond the planes of a frame: it looks for a null pointer behind the last one."""
    return kind.endswith("p") and channels >= _MOST_PLANES


def _joined(parts: list[np.ndarray], rate: int, channels: int, kind: str) -> tuple[Block, str]:
    samples = np.concatenate(parts, axis=1)
    if len(samples) != channels:
        samples = np.ascontiguousarray(samples.reshape(-1, channels).T)
    if samples.dtype == np.uint8:
        samples = (samples.astype(np.float32) - 128) / 128
    scale = _SCALES.get(str(samples.dtype), 1)
    with np.errstate(over="ignore"):
        samples = samples.astype(np.float32) / np.float32(scale)
    return Block(samples, rate), kind
