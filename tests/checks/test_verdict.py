"""Figures are judged by the limits of `thresholds.json`."""

from __future__ import annotations

import string
from typing import Any

import pytest

from story_studio.checks.figures import (
    Color,
    Face,
    Figures,
    Frames,
    Identity,
    Lengths,
    Seams,
    Span,
    Sync,
    Voice,
)
from story_studio.checks.verdict import Finding, clock, judge, rank, readings, thresholds


def good(**changes: Any) -> Figures:
    """The figures of a clip without faults."""
    values: dict[str, Any] = {
        "fps": 25.0,
        "width": 832,
        "height": 480,
        "lengths": Lengths(video=10.0, audio=10.0),
        "frames": Frames(flicker=0.5, flicker_at=3.0, sharpness=0.97, sharpness_at=8.0),
        "color": Color(drift=1.0, at=9.0),
        "seams": Seams(largest=1.5, at=4.0),
        "face": Face(present=1.0, height=0.4, jitter=0.003),
        "sync": Sync(offset_frames=0.2, offset_seconds=0.008, confidence=5.0),
        "identity": Identity(similarity=0.97, at=7.0),
        "voice": Voice(
            loudness=-20.0, noise_floor=-65.0, speech_to_noise=35.0, speech=[Span(start=0.5, end=9)]
        ),
    }
    return Figures(**values | changes)


def only(figures: Figures) -> Finding:
    _, (finding,) = judge(figures)
    return finding


def test_a_good_clip_passes() -> None:
    assert judge(good()) == ("pass", [])


def test_lips_that_lag_are_said_with_the_frames_and_the_time() -> None:
    finding = only(good(sync=Sync(offset_frames=-3.2, confidence=5.0, start=7.4)))
    assert finding.text == "lips lag the voice by about 3 frames from 0:07"
    assert (finding.figure, finding.value, finding.at) == ("sync.offset_frames", -3.2, 7.4)


def test_a_late_sound_is_lips_that_lead() -> None:
    finding = only(good(sync=Sync(offset_frames=4.0, confidence=5.0)))
    assert finding.text == "lips lead the voice by about 4 frames"


def test_an_offset_that_is_not_sure_does_not_fail_a_clip() -> None:
    verdict, (finding,) = judge(good(sync=Sync(offset_frames=4.0, confidence=2.3)))
    assert (verdict, finding.level, finding.retake) == ("warn", "warn", False)
    verdict, (finding,) = judge(good(sync=Sync(offset_frames=4.0, confidence=2.7)))
    assert (verdict, finding.level, finding.retake) == ("fail", "fail", True)


def test_the_offset_of_another_voice_means_nothing() -> None:
    finding = only(good(sync=Sync(offset_frames=8.0, confidence=0.0, start=0.0)))
    assert (finding.figure, finding.text) == ("sync.confidence", "the lips do not follow this voice")


FAULTS = {
    "frames.frozen": {"frames": Frames(frozen=[Span(start=3, end=3.2), Span(start=4.1, end=9)])},
    "frames.black": {"frames": Frames(black=[Span(start=3, end=3.04)])},
    "frames.flicker": {"frames": Frames(flicker=60.0, flicker_at=2.5)},
    "frames.sharpness": {"frames": Frames(sharpness=0.05, sharpness_at=6.0)},
    "color.drift": {"color": Color(drift=40.0, at=9.0)},
    "seams.largest": {"seams": Seams(largest=60.0, at=5.0)},
    "identity.similarity": {"identity": Identity(similarity=-0.5, at=5.0)},
    "face.present": {"face": Face(present=0.1, lost=[Span(start=1, end=10)])},
}


@pytest.mark.parametrize(("figure", "fault"), FAULTS.items(), ids=FAULTS)
def test_a_fault_is_found_with_its_time(figure: str, fault: dict[str, Any]) -> None:
    verdict, (finding,) = judge(good(**fault))
    assert finding.figure == figure
    assert finding.at is not None and clock(finding.at) in finding.text
    entry = thresholds()[figure]
    assert verdict == ("pass" if entry.hint else "fail")
    assert finding.level == ("hint" if entry.hint else "fail")
    assert finding.retake is (entry.retake and not entry.hint)


def test_the_longest_of_several_spans_is_said() -> None:
    frozen = [Span(start=1, end=1.9), Span(start=4, end=6), Span(start=8, end=8.9)]
    assert only(good(frames=Frames(frozen=frozen))).text == (
        "the image stands still for 2.0 s from 0:04, and 2 more times"
    )


def test_hints_neither_fail_nor_cause_a_retake(monkeypatch: pytest.MonkeyPatch) -> None:
    figures = good(color=Color(drift=40.0, at=9.0))
    hint = thresholds()["color.drift"].model_copy(update={"hint": True})
    monkeypatch.setitem(thresholds(), "color.drift", hint)
    verdict, (finding,) = judge(figures)
    assert (verdict, finding.level, finding.retake) == ("pass", "hint", False)


def test_a_face_that_the_reference_lacks_is_not_asked_for() -> None:
    verdict, (finding,) = judge(good(face=Face(present=0.0, in_reference=False), sync=None, identity=None))
    assert (verdict, finding.level, finding.retake) == ("pass", "hint", False)


def test_another_seed_helps_neither_voices_nor_lengths() -> None:
    voice = Voice(loudness=-60.0, clipped=0.5, speech_to_noise=0.0, speech=[Span(start=0, end=10)])
    voice.cut_start = voice.cut_end = True
    _, findings = judge(good(voice=voice, lengths=Lengths(video=10, audio=3)))
    figures = {finding.figure for finding in findings}
    assert figures == {
        *("voice.loudness", "voice.clipped", "voice.speech_to_noise", "voice.cut_start", "voice.cut_end"),
        "lengths.difference",
    }
    assert not any(finding.retake for finding in findings)


def test_silence_is_a_warning_only_where_somebody_is_to_speak() -> None:
    silent = {"voice": None, "face": None, "sync": None, "identity": None}
    assert only(good(**silent)).text == "no speech in the audio"
    assert judge(good(**silent, talking=False)) == ("pass", [])


def test_the_worst_comes_first_and_ranks_lowest() -> None:
    bad = good(frames=Frames(frozen=[Span(start=0, end=9)]), color=Color(drift=20.0, at=1.0))
    better = good(frames=Frames(frozen=[Span(start=0, end=0.9)]))
    verdict, findings = judge(bad)
    assert verdict == "fail"
    assert [finding.figure for finding in findings] == ["frames.frozen", "color.drift"]
    assert rank(judge(good())[1]) < rank(judge(better)[1]) < rank(findings)


def test_every_figure_has_limits_and_every_limit_a_figure() -> None:
    faces = {"lost": [Span(start=0, end=1)], "present": 1.0, "height": 0.4, "jitter": 0.0}
    spans = [Span(start=0, end=1)]
    figures = good(face=Face(**faces), frames=Frames(frozen=spans, black=spans))
    assert {reading.figure for reading in readings(figures)} == set(thresholds())


@pytest.mark.parametrize("figure", thresholds())
def test_the_limits_of_a_figure_go_together(figure: str) -> None:
    entry = thresholds()[figure]
    sides = [(side, sign) for side, sign in ((entry.above, 1), (entry.below, -1)) if side]
    assert sides
    assert entry.needs in (None, *thresholds())
    for side, sign in sides:
        fields = {name for _, name, _, _ in string.Formatter().parse(side.text) if name}
        assert fields <= {"value", "size", "missing", "frames", "at", "more", "start"}
        # A time that is not known is left out.
        assert "{at}" not in side.text or "{at}]" in side.text
        assert side.warn is not None or side.fail is not None
        assert side.warn is None or side.fail is None or sign * (side.fail - side.warn) > 0
    assert entry.name and isinstance(entry.shown(0.5), str)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.0, "0:00"), (7.99, "0:07"), (61.2, "1:01"), (3725.0, "1:02:05")]
)
def test_times_are_those_of_a_player(seconds: float, text: str) -> None:
    assert clock(seconds) == text
