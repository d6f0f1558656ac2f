"""Title cards, slow moves and contact sheets."""

from __future__ import annotations

import math
from dataclasses import replace
from random import Random

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageFont

from story_studio.media.animatic import CARD_ZOOM, label_draft, slow_move
from story_studio.media.cards import lettering, title_card
from story_studio.media.cards.contact_sheet import compose
from story_studio.media.cards.lettering import LEADING, fitted, prepared
from story_studio.media.cards.title_card import paint
from tests.media.sentences import WORDS, sentence

LONG = "An old fisherman mends his nets on a stone pier while gulls wheel overhead; warm lantern light. " * 21
HEBREW = "המגדלור הישן ליד הים, ואישה בשם Anna (בת 32) עומדת שם"
ARABIC = "المنارة القديمة بجانب البحر، وحارس عجوز يحمل مصباحا (LED) في يده"
CHINESE = "黄昏时分，年老的渔夫坐在石头码头上修补渔网，海鸥在头顶盘旋；温暖的灯笼光。"


@pytest.mark.parametrize("size", [(64, 64), (320, 176), (176, 320), (512, 64), (832, 448)])
@pytest.mark.parametrize(
    "text",
    ["Dusk", LONG, "x" * 300, CHINESE, "", "naïve — ünï 🙂 \x00\u200f\u202e\ud800\ufffe", HEBREW, ARABIC],
)
def test_any_text_is_painted_at_any_size(size, text):
    card = paint(text, *size, heading="Scene 1")
    assert (card.size, card.mode) == (size, "RGB")
    assert np.asarray(card).std() > 3


_ANY = st.characters(codec=None)


@given(st.text(_ANY, max_size=200), st.text(_ANY, max_size=20), st.integers(64, 320), st.integers(64, 320))
@example("Dusk", "Scene 1", 69, 88)
@example("Dusk", "Scene 1", 84, 88)
def test_a_card_has_the_requested_size(text: str, heading: str, width: int, height: int) -> None:
    assert paint(text, width, height, heading).size == (width, height)


@pytest.mark.parametrize("size", [(64, 64), (448, 256), (256, 448), (4096, 64), (64, 4096)])
@pytest.mark.parametrize("script", WORDS)
def test_sentences_of_any_script_make_a_card(size: tuple[int, int], script: str) -> None:
    rng = Random(script)
    assert paint(sentence(rng, script), *size, sentence(rng, script)[:60]).size == size


@pytest.mark.parametrize("script", WORDS)
def test_no_line_starts_or_ends_with_a_space(script: str) -> None:
    rng = Random(script)
    for width in range(20, 400, 20):
        lines = fitted(sentence(rng, script), width, 200, 30, 9).lines
        assert all(line and line == line.strip() for line in lines)


def drawn(block: lettering.Block, width: float | None = None) -> np.ndarray:
    image = Image.new("RGB", (900, 100))
    block.draw(image, 20, 20, (255, 255, 255), width)
    return np.asarray(image)[..., 0]


def shaped(text: str) -> lettering.Block:
    """The text in one line, if this machine can set it."""
    block = fitted(text, 800, 60, 40, 40)
    if not block.face.shapes or block.face.lacks(frozenset(text) - {" "}):
        pytest.skip("FriBiDi or a font with these letters is not installed.")
    assert len(block.lines) == 1
    return block


@pytest.mark.parametrize("text", ["המגדלור הישן", "المنارة القديمة", "abc המגדלור"])
def test_right_to_left_headings_are_not_drawn_letter_by_letter(text: str) -> None:
    block = shaped(text)
    assert (drawn(replace(block, tracking=0.14)) == drawn(block)).all()
    # Pillow's own layout of the whole text, in the same direction.
    image = Image.new("L", (2000, 200))
    direction = "ltr" if text.startswith("a") else "rtl"
    font = block.face.at(100)
    ImageDraw.Draw(image).text((50, 120), text, font=font, fill=255, anchor="ls", direction=direction)
    expected, found = (
        np.asarray(each.crop(each.getbbox())) for each in (image, Image.fromarray(drawn(block)))
    )
    scaled = Image.fromarray(expected).resize(found.shape[::-1], Image.Resampling.BOX)
    assert np.abs(np.asarray(scaled, np.float32) - found).mean() < 12


@pytest.mark.parametrize("text", ["המגדלור הישן", "abc המגדלור", "(1984) המגדלור"])
def test_right_to_left_headings_without_fribidi(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = drawn(shaped(text))
    monkeypatch.setattr(ImageFont.core, "HAVE_RAQM", False)
    lettering._opened.cache_clear()
    try:
        block = fitted(text, 800, 60, 40, 40)
        assert not block.face.shapes
        found = drawn(block)
    finally:
        lettering._opened.cache_clear()
    ink = [each[:, each.any(axis=0)].astype(np.float32) for each in (expected, found)]
    widths = [each.shape[1] for each in ink]
    assert abs(widths[0] - widths[1]) < 0.1 * max(widths)
    scaled = [np.asarray(Image.fromarray(each).resize((60, 30), Image.Resampling.BOX)) for each in ink]
    assert np.abs(scaled[0] - scaled[1]).mean() < np.abs(scaled[0] - scaled[1][:, ::-1]).mean() / 2


def test_the_first_letter_of_right_to_left_text_is_on_the_right() -> None:
    tall = drawn(shaped("לו")).max(axis=1).nonzero()[0][0]
    rows, columns = np.nonzero(drawn(shaped("ל" + "ו" * 8)))
    assert rows.min() == tall
    assert columns[rows == tall].min() > np.median(columns)


def test_arabic_letters_are_joined() -> None:
    ink = drawn(shaped("بببب")).max(axis=0).nonzero()[0]
    assert (np.diff(ink) == 1).all()


def test_right_to_left_lines_are_aligned_at_the_right() -> None:
    block = fitted(HEBREW * 2, 300, 60, 16, 16)
    shaped("המגדלור")
    assert block.right_to_left and len(block.lines) > 1
    rows = drawn(block, 500)
    for number in range(len(block.lines)):
        top = round(20 + number * block.size * LEADING)
        line = rows[top : top + round(block.size * LEADING)]
        assert line.max(axis=0).nonzero()[0].max() == pytest.approx(520, abs=4)


@pytest.mark.parametrize("edge", [2**power for power in range(1, 9)])
def test_the_rule_is_drawn_at_any_position(edge: int) -> None:
    """Also just below a power of two, where y + 1 - 1 can round to less than y.

    The position depends on the metrics of the font, so other fonts hit this with other texts.
    """
    at = float(edge)
    for _ in range(8):
        at = math.nextafter(at, 0)
        image = Image.new("RGB", (300, 300))
        title_card._rule(ImageDraw.Draw(image), at, at, 100, (255, 255, 255))
        assert image.getbbox() == (edge, edge, edge + 6, edge + 1)


def test_a_card_depends_only_on_its_arguments():
    cards = [
        paint(text, 128, 96, seed=seed).tobytes() for text, seed in (("a", 0), ("a", 0), ("a", 1), ("b", 0))
    ]
    assert cards[0] == cards[1]
    assert len(set(cards)) == 3


def test_the_mark_can_be_left_out():
    with_mark, without = (
        np.asarray(paint("A pier", 320, 176, mark=mark)).astype(int) for mark in (True, False)
    )
    rows, columns = np.nonzero((with_mark != without).any(axis=2))
    assert rows.min() > 88
    assert columns.min() > 200


@pytest.mark.parametrize("text", ["Dusk", "Two words", LONG, "x" * 300, CHINESE * 20, "wide " + "W" * 80])
@pytest.mark.parametrize(("width", "height"), [(600, 300), (120, 500), (50, 20)])
def test_text_never_overflows(text, width, height):
    block = fitted(text, width, height, 48, 8)
    assert 8 <= block.size <= 48
    assert block.width <= width
    assert block.height <= max(height + 0.02 * block.size, 8 * LEADING)
    shown, whole = "".join("".join(block.lines).split()), "".join(prepared(text)[0].split())
    assert block.cut or shown == whole
    assert not block.cut or (shown.endswith("...") and whole.startswith(shown.rstrip(".")))


def test_drawn_letters_stay_inside_the_block():
    image = Image.new("RGB", (700, 400))
    block = fitted(LONG, 600, 300, 40, 9)
    block.draw(image, 50, 50, (255, 255, 255))
    left, top, right, bottom = image.getbbox() or (0, 0, 0, 0)
    assert left >= 49
    assert top >= 50
    assert right <= 651
    assert bottom <= 50 + block.height + 1


def test_without_a_suitable_font_letters_lose_their_accents(monkeypatch):
    monkeypatch.setattr(lettering, "_SYSTEM_FONTS", ())
    monkeypatch.setattr(lettering.shutil, "which", lambda name: None)
    lettering.face_for.cache_clear()
    try:
        assert prepared("Café — naïve")[0] == "Cafe - naive"
        assert prepared("海")[0] == "海"
        paint(CHINESE, 128, 96)
    finally:
        lettering.face_for.cache_clear()


def test_a_move_is_smooth_and_stays_inside():
    rows, columns = np.mgrid[0:300, 0:500]
    blob = 200 * np.exp(-((rows - 150) ** 2 + (columns - 240) ** 2) / 800)
    image = np.stack([blob, blob, np.full_like(blob, 200)], axis=-1).astype(np.uint8)
    y, x = np.mgrid[0:96, 0:160]
    movements = []
    for seed in range(8):
        frames = [frame.astype(float) for frame in slow_move(image, 160, 96, 48, seed)]
        assert len(frames) == 48
        assert min(frame[..., 2].min() for frame in frames) >= 199
        blobs = [frame[..., 0] for frame in frames]
        positions = np.array([[(blob * axis).sum() / blob.sum() for axis in (x, y)] for blob in blobs])
        steps = np.diff(positions, axis=0)
        assert np.abs(steps).max() < 0.6
        assert np.abs(np.diff(steps, axis=0)).max() < 0.04
        sizes = np.array([np.sqrt(blob.sum()) for blob in blobs])
        assert np.abs(np.diff(sizes / sizes[0], n=2)).max() < 0.002
        movements.append(max(np.ptp(positions), 100 * np.ptp(sizes / sizes[0])))
    assert min(movements) > 1


@pytest.mark.parametrize("size", [(320, 176), (176, 320), (176, 176)])
def test_the_text_of_a_card_stays_visible(size):
    width, height = size
    image = np.zeros((height, width, 3), np.uint8)
    inset = int(lettering.MARGIN * min(size))
    image[inset : height - inset, [inset, width - inset - 1]] = 255
    for seed in range(8):
        for frame in slow_move(image, width, height, 4, seed, CARD_ZOOM):
            assert frame[height // 2, : width // 4].max() > 100
            assert frame[height // 2, -width // 4 :].max() > 100


@pytest.mark.parametrize("shape", [(40, 300), (300, 40), (96, 160), (64, 64)])
def test_a_move_crops_any_shape(shape):
    image = np.random.default_rng(0).integers(0, 255, (*shape, 3), dtype=np.uint8)
    for frame in slow_move(image, 160, 96, 3):
        assert (frame.shape, frame.dtype) == ((96, 160, 3), np.uint8)
    assert len(list(slow_move(image, 160, 96, 1))) == 1


_SIDES = st.integers(1, 600)


@given(_SIDES, _SIDES, st.integers(64, 320), st.integers(64, 320), st.integers(0, 99))
@example(65, 107, 64, 106, 0)
@example(186, 411, 64, 176, 0)
def test_rounding_moves_no_view_outside_the_image(
    image_width: int, image_height: int, width: int, height: int, seed: int
) -> None:
    image = np.full((image_height, image_width, 3), 90, np.uint8)
    for frame in slow_move(image, width, height, 2, seed):
        assert frame.shape == (height, width, 3) and (frame == 90).all()


def test_moves_are_repeatable_and_varied():
    image = np.asarray(paint("A pier", 160, 96))
    ends = [list(slow_move(image, 160, 96, 5, seed))[-1].tobytes() for seed in (1, 1, 2, 3, 4, 5)]
    assert ends[0] == ends[1]
    assert len(set(ends)) > 2


def test_the_draft_label_is_small_and_does_not_modify_the_frame():
    frame = np.full((176, 320, 3), 90, np.uint8)
    labelled = label_draft(frame)
    assert (frame == 90).all()
    changed = (labelled != frame).any(axis=2)
    assert 0 < changed.mean() < 0.02
    rows, columns = np.nonzero(changed)
    assert rows.min() > 88
    assert columns.min() > 160


@pytest.mark.parametrize("count", [1, 2, 5, 12, 200])
def test_a_contact_sheet_shows_every_still(count):
    stills = [(Image.new("RGB", (80, 45), (250, 0, 250)), f"scene-{i}", LONG) for i in range(count)]
    sheet = compose(stills, "A Story")
    assert max(sheet.size) <= 4000
    assert 0.6 < sheet.width / sheet.height < 3.2
    pixels = np.asarray(sheet)
    thumbs = (pixels == (250, 0, 250)).all(axis=2)
    edges = np.diff(thumbs.astype(np.int8), axis=1) == 1
    rows = np.flatnonzero(np.diff(thumbs.any(axis=1).astype(np.int8)) == 1) + 2
    assert sum(int(edges[row].sum()) for row in rows) == count


def test_stills_keep_their_aspect_ratio():
    stills = [(Image.new("RGB", (90, 160), (250, 0, 250)), "tall", "")]
    stills += [(Image.new("RGB", (160, 90), (0, 250, 0)), "wide", "")] * 3
    pixels = np.asarray(compose(stills))
    for colour, shape in (((250, 0, 250), 90 / 160), ((0, 250, 0), 160 / 90)):
        rows, columns = np.nonzero((pixels == colour).all(axis=2))
        first = columns[(rows == rows[0])]
        run = np.split(first, np.flatnonzero(np.diff(first) > 1) + 1)[0]
        height = int((pixels[:, run[0]] == colour).all(axis=1)[rows[0] : rows[0] + 2 * len(run) + 2].sum())
        assert len(run) / height == pytest.approx(shape, rel=0.03) or shape > 1


def test_no_stills_is_an_error():
    with pytest.raises(ValueError, match="at least one still"):
        compose([])
