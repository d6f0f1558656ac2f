"""Burned-in captions: where they stand, their colours and changes, and text of any kind as it is written."""

from __future__ import annotations

from fractions import Fraction
from random import Random
from unicodedata import normalize

import av
import numpy as np
import psutil
import pytest

from story_studio.media.burned import CaptionOverlay, CaptionStyle
from story_studio.media.burned_layout import fitted, safe_area, states
from story_studio.media.canvas import Canvas
from story_studio.media.captions import Cue, Word
from story_studio.media.captions import cues as captions_of
from story_studio.media.cards.lettering import Face, face_for
from story_studio.media.fonts import bold_face, family_for, width_of
from tests.media.sentences import UNSPACED, WORDS, sentence

FPS = Fraction(24)
WIDE, UPRIGHT, SQUARE = Canvas(320, 180, FPS), Canvas(180, 320, FPS), Canvas(200, 200, FPS)
STYLES = ("clean", "boxed", "words")
GREY = 120
TWO_LINES = Cue(0, 1, "The lamp is lit, and all the\nships at sea can see it.")


def grey(canvas: Canvas) -> av.VideoFrame:
    planes = np.full((canvas.height * 3 // 2, canvas.width), GREY, np.uint8)
    planes[canvas.height :] = 128
    return av.VideoFrame.from_ndarray(planes, format="yuv420p")


def drawn(cues: list[Cue], canvas: Canvas, style: CaptionStyle, *frames: int) -> list[np.ndarray]:
    """Some frames of a grey film with captions, uint8 [height, width, 3]."""
    with CaptionOverlay(cues, canvas, style) as overlay:
        films = [overlay.draw(index, grey(canvas)) for index in frames]
    return [film.to_ndarray(format="rgb24", src_colorspace="ITU709") for film in films]


def ink(image: np.ndarray) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of what is not grey."""
    background = grey(Canvas(image.shape[1], image.shape[0], FPS)).to_ndarray(format="rgb24")
    different = np.abs(image.astype(int) - background).max(axis=-1) > 12
    rows, columns = np.flatnonzero(different.any(axis=1)), np.flatnonzero(different.any(axis=0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def centre_of_yellow(image: np.ndarray) -> float | None:
    red, green, blue = np.moveaxis(image.astype(int), -1, 0)
    columns = np.nonzero((red > 200) & (green > 160) & (blue < 120))[1]
    return float(columns.mean()) if columns.size else None


def spoken(text: str, start: float, step: float) -> Cue:
    """A caption whose words follow each other, each `step` seconds long."""
    words = [Word(start + i * step, start + (i + 1) * step, word) for i, word in enumerate(text.split())]
    return Cue(start, words[-1].end, text, (*words,))


@pytest.mark.parametrize("canvas", [WIDE, UPRIGHT], ids=str)
@pytest.mark.parametrize("style", STYLES)
def test_captions_stay_in_the_safe_area(style, canvas):
    area = safe_area(canvas.width, canvas.height)
    (image,) = drawn([TWO_LINES], canvas, CaptionStyle(style), 0)
    left, top, right, bottom = ink(image)
    # A soft shadow may reach a little further than letters do.
    assert area.left - 3 <= left < right <= area.right + 3
    assert 0.6 * area.bottom < top < bottom <= area.bottom + 3
    assert abs((left + right) / 2 - canvas.width / 2) <= 3
    if canvas is UPRIGHT:
        assert bottom <= 0.755 * canvas.height


def test_positions():
    area = safe_area(SQUARE.width, SQUARE.height)
    styles = [CaptionStyle("boxed", position=position) for position in ("top", "middle", "bottom")]
    rows = [ink(drawn([TWO_LINES], SQUARE, style, 0)[0])[1::2] for style in styles]
    assert rows[0][0] == pytest.approx(area.top, abs=4)
    assert sum(rows[1]) / 2 == pytest.approx(SQUARE.height / 2, abs=3)
    assert rows[2][1] == pytest.approx(area.bottom, abs=4)


def test_a_frame_without_a_caption_is_untouched_and_one_with_it_is_a_copy():
    frame = grey(WIDE)
    with CaptionOverlay([Cue(0.5, 1.0, "Hello")], WIDE, CaptionStyle()) as overlay:
        shown = [overlay.draw(index, frame) is not frame for index in range(48)]
    assert [index for index, there in enumerate(shown) if there] == [*range(12, 24)]
    assert (frame.to_ndarray() == grey(WIDE).to_ndarray()).all()


def test_colours_are_those_of_the_design():
    # Large letters, as thin strokes share their colour samples with the background.
    canvas, size = Canvas(640, 360, FPS), 0.15
    cue = spoken("MMM WWW", 0, 1)
    (clean,) = drawn([cue], canvas, CaptionStyle("clean", size=size), 0)
    assert clean.max(axis=-1).max() >= 252
    assert (np.ptp(clean.astype(int), axis=-1) <= 8).all()
    (words,) = drawn([cue], canvas, CaptionStyle("words", size=size), 0)
    red, green, blue = np.moveaxis(words.astype(int), -1, 0)
    yellow = words[(red > 240) & (green > 190) & (blue < 110)]
    assert np.median(yellow, axis=0) == pytest.approx([0xFF, 0xD8, 0x3D], abs=10)
    (boxed,) = drawn([cue], canvas, CaptionStyle("boxed", size=size), 0)
    left, top, right, bottom = ink(boxed)
    # Black that lets a quarter of the grey through.
    inside = boxed[(top + bottom) // 2, left + 4].astype(int)
    assert inside == pytest.approx([0.26 * (GREY - 16) * 255 / 219] * 3, abs=4)


def test_words_are_highlighted_in_the_frames_in_which_they_are_spoken():
    cue = Cue(0.5, 3, "one two", (Word(0.75, 1.0, "one"), Word(2.0, 2.5, "two")))
    images = drawn([cue], WIDE, CaptionStyle("words"), *range(72))
    centres = [centre_of_yellow(image) for image in images]
    lit = [index for index, centre in enumerate(centres) if centre is not None]
    # The first stays lit for half a second, as the second is not spoken yet.
    first, second = [*range(18, 36)], [*range(48, 72)]
    assert lit == first + second
    assert {centres[index] for index in first}.isdisjoint(centres[index] for index in second)
    assert max(centres[index] or 0 for index in first) < min(centres[index] or 0 for index in second)


def test_without_words_the_design_for_words_shows_the_caption():
    (image,) = drawn([Cue(0, 1, "one two")], WIDE, CaptionStyle("words"), 0)
    assert centre_of_yellow(image) is None
    assert image.max() > 240


def test_hebrew_runs_from_right_to_left():
    cue = spoken("שלום OK עולם", 0, 0.5)
    if face_for(frozenset("שלוםע")).lacks(frozenset("שלוםע")):
        pytest.skip("no font with Hebrew letters")
    centres = [centre_of_yellow(image) for image in drawn([cue], WIDE, CaptionStyle("words"), 2, 14, 26)]
    assert None not in centres
    assert centres == sorted(centres, key=lambda centre: -(centre or 0))


HOSTILE = [
    r"{\b1}bold{\i0}",
    r"a\Nb\nc\hd\{e\}",
    "{plain} and } or {",
    "back\\",
    r"{\p1}m 0 0 l 9 9{\p0}",
    r"\\{\pos(0,0)}",
    "<i>&amp;, 0,1,,",
]


def test_text_is_shown_as_it_is_written():
    """What is taken for markup has no width, and neither has a part that is lost."""
    cues = [Cue(number, number + 1, text) for number, text in enumerate(HOSTILE)]
    style = CaptionStyle(size=0.1)
    face, size = bold_face(family_for("", "")), 0.1 * WIDE.height
    for text, image in zip(HOSTILE, drawn(cues, WIDE, style, *range(0, 24 * len(cues), 24)), strict=True):
        left, top, right, bottom = ink(image)
        assert right - left == pytest.approx(width_of(text, face) * size, rel=0.04, abs=5), text
        assert bottom - top < 1.8 * size


def test_controls_and_line_breaks_of_any_kind_break_nothing():
    text = "a\x00b\r\x0bc\u2028d\n\n e\ufeff\ud800\u200f"
    (image,) = drawn([Cue(0, 1, text)], WIDE, CaptionStyle(), 0)
    assert image.max() > 240
    assert drawn([Cue(0, 1, "\u200b \n"), Cue(1, 1, "x")], WIDE, CaptionStyle(), 0)[0].max() < 200


@pytest.mark.parametrize(
    "text",
    ["Donaudampfschifffahrtsgesellschaft" * 4, "海" * 90, "W" * 100],
    ids=["letters", "ideographs", "capitals"],
)
def test_a_long_word_is_broken_and_stays_on_the_canvas(text):
    area = safe_area(UPRIGHT.width, UPRIGHT.height)
    found = states([Cue(0, 9, text)], FPS, 8, Face(), False)
    assert "".join(run for state in found for line in state.lines for run, _ in line) == text
    for index in (0, 100):
        (image,) = drawn([Cue(0, 9, text)], UPRIGHT, CaptionStyle(size=0.15), index)
        left, _, right, _ = ink(image)
        assert area.left - 4 <= left < right <= area.right + 4


@pytest.mark.parametrize("script", WORDS)
def test_captions_of_any_script_are_broken_again_to_fit_and_lose_nothing(script):
    rng, face = Random(script), bold_face(family_for("", ""))
    for _ in range(3):
        text = normalize("NFC", sentence(rng, script))
        for room in (10, 24):
            for cue in captions_of(text, 20, None):
                captions = fitted(Cue(*cue[:3]), room, face)
                shown = "".join("".join(caption.lines) for caption in captions)
                assert "".join(shown.split()) == "".join(cue[2].split())
                assert all(len(caption.lines) <= 2 for caption in captions)
                assert (
                    max(width_of(line, face) for caption in captions for line in caption.lines) <= room + 1e-6
                )
                times = [moment for caption in captions for moment in (caption.start, caption.end)]
                assert (times[0], times[-1]) == cue[:2]
                assert times == sorted(times)
                if script not in UNSPACED and room > 20:
                    words = {word for word in cue[2].split() if "-" not in word and "/" not in word}
                    assert words <= {
                        word for caption in captions for line in caption.lines for word in line.split()
                    }


def test_a_caption_that_is_split_changes_with_its_first_word():
    text = "one two three four five six seven eight"
    cue = spoken(text, 0, 0.5)
    captions = fitted(cue, 6, bold_face(family_for("", "")))
    assert len(captions) > 1
    for caption in captions:
        first = caption.lines[0].split()[0]
        assert caption.start == next(word.start for word in cue.words if word.text == first)


def test_captions_never_overlap_and_those_shorter_than_a_frame_are_left_out():
    cues = [Cue(0, 1, "a"), Cue(0.5, 0.9, "hidden"), Cue(0.9, 2, "b"), Cue(2.001, 2.002, "short")]
    found = [*states(cues, FPS, 20, Face(), False)]
    assert [(state.first, state.stop, state.lines[0][0][0]) for state in found] == [
        (0, 24, "a"),
        (24, 48, "b"),
    ]


def test_nothing_keeps_running_after_a_cancel():
    cues = [Cue(number, number + 1, f"caption {number}") for number in range(60)]
    with pytest.raises(KeyboardInterrupt), CaptionOverlay(cues, WIDE, CaptionStyle()) as overlay:
        overlay.draw(0, grey(WIDE))
        assert any("ffmpeg" in child.name() for child in psutil.Process().children())
        raise KeyboardInterrupt
    assert not any("ffmpeg" in child.name() for child in psutil.Process().children())


def test_states_that_are_passed_over_are_not_shown():
    cues = [Cue(number, number + 1, "i" * (number + 1)) for number in range(8)]
    images = drawn(cues, WIDE, CaptionStyle(), 0, 7 * 24)
    widths = [ink(image)[2] - ink(image)[0] for image in images]
    assert widths[1] > 3 * widths[0]


def test_a_letter_that_no_font_has_is_named():
    with CaptionOverlay([Cue(0, 1, "a\u0378 \U0001fafc")], WIDE, CaptionStyle()) as overlay:
        overlay.draw(0, grey(WIDE))
    (warning,) = overlay.warnings
    assert ": \u0378 \U0001fafc. " in warning
    assert "apt install fonts-noto-core fonts-symbola" in warning


def test_a_film_without_captions_is_a_warning():
    with CaptionOverlay([], WIDE, CaptionStyle()) as overlay:
        frame = grey(WIDE)
        assert overlay.draw(0, frame) is frame
    (warning,) = overlay.warnings
    assert "the film has none" in warning


def test_a_failing_ffmpeg_is_an_error_that_says_what_to_do(monkeypatch):
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", "/bin/false")
    with (
        pytest.raises(RuntimeError, match="ended with code 1 .* unset it"),
        CaptionOverlay([Cue(0, 1, "a")], WIDE, CaptionStyle()) as overlay,
    ):
        overlay.draw(0, grey(WIDE))


def test_a_font_that_is_not_there_is_an_error_that_lists_those_that_are():
    with pytest.raises(ValueError, match="'Nosuch Sans' .*: .*Aileron"):
        CaptionOverlay([Cue(0, 1, "a")], WIDE, CaptionStyle(font="Nosuch Sans"))
    (image,) = drawn([Cue(0, 1, "Built in")], WIDE, CaptionStyle(font="aileron"), 0)
    assert image.max() > 240


def test_the_font_is_one_of_the_script_that_most_letters_have():
    usual, letters = family_for("", ""), frozenset("海辺古灯台")
    assert family_for("The old lighthouse by the sea, 海辺", "") == usual
    if bold_face(usual).lacks(letters) and not face_for(letters).lacks(letters):
        assert not bold_face(family_for("海辺の古い灯台 (OK)", "ja")).lacks(letters)


@pytest.mark.parametrize("size", [-0.01, 0.2, float("nan")])
def test_a_size_out_of_range_is_refused(size):
    with pytest.raises(ValueError, match="shorter side"):
        CaptionStyle(size=size)
