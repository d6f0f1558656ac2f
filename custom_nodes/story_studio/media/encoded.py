"""How far the peaks of audio rise when it is encoded as AAC, as in a film."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction

import av
import numpy as np

from ..signal.loudness import Meter
from .audio_track import BLOCK, AudioTrack
from .encoder import AAC_BIT_RATE, SAMPLE_RATE

_AAC_BLOCK = 1024
_MOST_BLOCKS = 30
_AROUND = 2
"""AAC blocks before and after a run that are encoded too; the first rises from silence, the last falls."""
_RAMP = ((np.arange(_AAC_BLOCK) + 0.5) / _AAC_BLOCK).astype(np.float32)


def encoded_peak(track: AudioTrack, peaks: Sequence[float]) -> float:
    """The true peak in dBTP after encoding and decoding; -inf for silence.

    Encoding takes longer than all else, so that only the 30 loudest seconds are tried.

    Args:
        track: the audio.
        peaks: of each of its blocks.
    """
    loudest = sorted(range(len(peaks)), key=lambda block: peaks[block])[-_MOST_BLOCKS:]
    encoder, decoder = av.CodecContext.create("aac", "w"), av.CodecContext.create("aac", "r")
    assert isinstance(encoder, av.AudioCodecContext) and isinstance(decoder, av.AudioCodecContext)
    encoder.sample_rate, encoder.layout, encoder.format = SAMPLE_RATE, "stereo", "fltp"
    encoder.bit_rate, encoder.time_base = AAC_BIT_RATE, Fraction(1, SAMPLE_RATE)
    encoder.open()
    decoder.extradata = encoder.extradata
    with Meter(peaks=True) as meter:
        for frame in (*_frames(track, sorted(loudest)), None):
            for packet in encoder.encode(frame):
                for decoded in decoder.decode(packet):
                    meter.add(decoded.to_ndarray())
        peak = meter.result().true_peak
    return -np.inf if peak is None else peak


def _frames(track: AudioTrack, blocks: Sequence[int]) -> Iterator[av.AudioFrame]:
    position = 0
    for first, last in _runs(blocks):
        # The same parts that the film is encoded in, because it matters where in one a peak is.
        start, end = first * BLOCK // _AAC_BLOCK, -(last * BLOCK // -_AAC_BLOCK)
        before, after = max(0, start - _AROUND), end + _AROUND
        for part in range(before, after):
            piece = track.read(part * _AAC_BLOCK, (part + 1) * _AAC_BLOCK)
            if 0 < part == before:
                piece *= _RAMP
            elif part == after - 1:
                piece *= _RAMP[::-1]
            frame = av.AudioFrame.from_ndarray(piece, "fltp", "stereo")
            frame.sample_rate, frame.pts, frame.time_base = SAMPLE_RATE, position, Fraction(1, SAMPLE_RATE)
            position += _AAC_BLOCK
            yield frame


def _runs(blocks: Sequence[int]) -> list[tuple[int, int]]:
    """Blocks in order as spans `(first, last + 1)` of those that follow each other."""
    runs: list[tuple[int, int]] = []
    for block in blocks:
        if runs and runs[-1][1] == block:
            runs[-1] = (runs[-1][0], block + 1)
        else:
            runs.append((block, block + 1))
    return runs
