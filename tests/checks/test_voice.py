"""The measures of a voice."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from story_studio.checks.voice import VoiceMeter
from story_studio.signal.voice_levels import SILENCE, is_voice, level, levels_of, moments

RATE = 16_000


def test_a_level_is_the_root_mean_square_of_all_channels() -> None:
    audio = np.random.default_rng(0).normal(0, 0.1, (2, 1000)).astype(np.float32)
    expected = 10 * np.log10(np.square(audio, dtype=np.float64).reshape(2, 10, 100).mean(axis=(0, 2)))
    assert level(audio, 100) == pytest.approx(expected, abs=1e-4)
    assert level(audio[:, :99], 100).shape == (0,)
    assert level(np.zeros(50, np.float32), 50).tolist() == [SILENCE]


@pytest.mark.parametrize("rate", [11_025, 16_000, 22_050, 44_100])
def test_levels_do_not_drift_where_a_frame_is_no_whole_number_of_samples(rate: int) -> None:
    """A tone of a tenth of a second every second, for half a minute."""
    time = np.arange(30 * rate) / rate
    audio = np.where(time % 1 < 0.1, np.sin(2 * np.pi * 440 * time), 0).astype(np.float32)[None]
    levels = levels_of(lambda start, end: audio[:, start:end], audio.shape[1], rate, 0.01)
    assert len(levels) == 3000
    starts = np.flatnonzero(np.diff((levels > -40).astype(int)) == 1) + 1
    assert starts.tolist() == list(range(100, 3000, 100))


def test_a_voice_in_blocks_is_measured_as_a_whole() -> None:
    rng = np.random.default_rng(0)
    time = np.arange(5 * RATE) / RATE
    voice = 0.3 * np.sin(2 * np.pi * 150 * time) * (np.sin(2 * np.pi * 0.5 * time) > 0)
    audio = (voice + rng.normal(0, 0.01, len(time))).astype(np.float32)
    figures = []
    for size in (len(audio), 999):
        meter = VoiceMeter()
        for at in range(0, len(audio), size):
            meter.add(audio[at : at + size], RATE)
        figures.append(meter.result())
    whole, blocks = figures
    assert blocks.speech == whole.speech
    spans = np.array([(span.start, span.end) for span in whole.speech])
    assert spans == pytest.approx(np.array([(0, 1), (2, 3), (4, 5)]), abs=0.03)
    assert blocks.speech_to_noise == pytest.approx(whole.speech_to_noise)
    assert whole.noise_floor == pytest.approx(-40, abs=1.5)
    assert whole.level == pytest.approx(20 * np.log10(0.3) - 3, abs=0.3)
    assert whole.cut_start and whole.cut_end


def test_librosa_is_imported_when_a_voice_is_measured_and_not_before() -> None:
    modules = "driver.cli, driver.rendering.recordings, driver.voices.sound, story_studio.media.captions"
    code = f"import sys, {modules}; print('librosa' in sys.modules, 'numba' in sys.modules)"
    environment_path = {"PYTHONPATH": ":".join(sys.path)}
    ran = subprocess.run([sys.executable, "-c", code], env=environment_path, capture_output=True, text=True)
    assert ran.stdout.split() == ["False", "False"], ran.stderr


def test_a_click_in_silence_is_no_voice() -> None:
    audio = np.zeros((2, 48_000), np.float32)
    audio[:, 12_345] = 1
    levels = moments(audio + np.float32(0.01), 48_000)
    assert np.count_nonzero(levels > SILENCE + 1) == 1
    assert not is_voice(levels, -35.0)
