"""Scripts of every kind become stories that load; what is wrong with one is said with its line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from driver.paths import ROOT
from story_studio.story import schema
from story_studio.story.problems import Problems
from story_studio.story.script.read import story_from_script
from story_studio.story.script.recordings import natural_order, read_recordings
from story_studio.story.script.yaml_text import yaml_of

EXAMPLES = ROOT / "workflows" / "examples"


def scenes_of(name: str, text: str) -> list[dict[str, Any]]:
    """The scenes of a script's story, which loads again from the YAML that is written of it."""
    data = story_from_script(name, text).data
    written = schema.read(yaml_of(data, ["A story."]), Path("story.yaml"))
    assert written == schema.parse(data)
    return data["scenes"]


def problems_of(name: str, text: str) -> str:
    with pytest.raises(Problems) as caught:
        story_from_script(name, text)
    return str(caught.value)


def test_a_paragraph_of_plain_text_is_a_narrated_scene() -> None:
    text = "The Sea\n\nIt was   late.\nIt rained.\n\n* * *\n\nNobody came: 9 o'clock {sharp}.\n"
    story = story_from_script("the sea.txt", text).data
    assert (story["title"], story["project_id"]) == ("The Sea", "the-sea")
    one, two = scenes_of("the sea.txt", text)
    assert (one["kind"], one["text"]) == ("narrated", "It was late. It rained.")
    assert one["prompt"].startswith("FILL IN: ") and "It was late." in one["prompt"]
    assert two["text"] == "Nobody came: 9 o'clock {sharp}."
    assert "characters" not in story
    assert all(scene.is_unwritten for scene in schema.parse(story).scenes)


def test_names_that_come_again_are_speakers() -> None:
    text = (
        "Mara: Who is there?\nTOM (smiling): Me.\nMara: Come in.\nIt is open.\n\nIt was late.\n\nTom: Thanks."
    )
    story = story_from_script("a.txt", text).data
    assert {key: one["name"] for key, one in story["characters"].items()} == {"mara": "Mara", "tom": "Tom"}
    talk, told, alone = scenes_of("a.txt", text)
    assert [(line["character"], line["text"]) for line in talk["lines"]] == [
        ("mara", "Who is there?"),
        ("tom", "Me."),
        ("mara", "Come in. It is open."),
    ]
    assert talk["lines"][1]["video_prompt"].endswith(", smiling")
    assert (told["kind"], alone["character"]) == ("narrated", "tom")
    # A prompt that is left to write is found in each shot of a dialogue.
    assert all(scene.is_unwritten for scene in schema.parse(story).scenes)


def test_somebody_who_answers_makes_a_dialogue_in_a_long_text() -> None:
    text = "It rained.\n\nIt was late.\n\nMara: Who?\nTom: Me.\nMara: Oh.\n\nNobody slept.\n\nAt nine: rain."
    assert [line["character"] for line in scenes_of("a.txt", text)[2]["lines"]] == ["mara", "tom", "mara"]


@pytest.mark.parametrize(
    "text",
    [
        "Note: it rained.\n\nWe went home.\n\nNobody came.\n\nNote: it stopped.\n\nWe left.",
        "He said: no.\n\nhe said: yes.\n\nhe said: well.",
        "See: https://example.com\n\nWe went.",
    ],
)
def test_a_colon_alone_makes_no_dialogue(text: str) -> None:
    assert "characters" not in story_from_script("a.txt", text).data


def test_markdown_has_chapters_images_and_no_markup() -> None:
    text = """---
title: A Film
language: de
---

# One

A *very* **long** [road](http://x.y) `there`.

![a pier in fog](pier.png)

- first item
- second item

> A quote.

## Two

Last.

```
print("no")
```

![the end of the road](end.png)
"""
    story = story_from_script("film.md", text)
    assert (story.data["title"], story.data["language"]) == ("A Film", "de")
    scenes = scenes_of("film.md", text)
    said = [scene.get("text") for scene in scenes]
    assert said == ["A very long road there.", "first item", "second item", "A quote.", "Last.", None]
    assert [scene.get("title") for scene in scenes] == [None, None, None, None, "Two", None]
    assert (scenes[1]["image"], scenes[1]["prompt"]) == ("pier.png", "a pier in fog")
    assert (scenes[5]["image"], scenes[5]["seconds"]) == ("end.png", 4)
    assert story.notes == ["line 21: code blocks are left out: nobody can say them."]


def test_fountain_s_elements() -> None:
    text = (EXAMPLES / "the-last-ferry.fountain").read_text(encoding="utf-8")
    story = story_from_script("the-last-ferry.fountain", text).data
    assert story["title"] == "The Last Ferry"
    assert story["film"] == {"opening": True, "credits": "A short example by the Story Studio project"}
    talk, off, action, solo = scenes_of("the-last-ferry.fountain", text)
    assert talk["prompt"].startswith("Interior, ticket office, night. {ida} (60), a ferry clerk")
    assert [line["text"] for line in talk["lines"]] == ["Has it gone?", "It never goes before I say so."]
    assert (off["kind"], off["character"], off["transition"]) == ("narrated", "paul", "crossfade")
    assert action["seconds"] and "FILL IN" not in action["prompt"]
    assert [scene.get("title") for scene in (talk, off, action, solo)] == [
        "The pier",
        None,
        None,
        "The other side",
    ]
    assert "a ferry clerk in a green cardigan" in story["characters"]["ida"]["description"]
    everything = str(story)
    assert not any(gone in everything for gone in ("lamp comes back", "did not use", "#3#", "THE END", "*"))


def test_fountain_s_rarer_elements() -> None:
    text = """FADE IN:

.BLACK SCREEN

!NOT A CUE
Really.

@McAdam (O.S.)
A voice from
the dark.

EXT. ROAD - DAY

= Two people wait.

ANNA (CONT'D)
~La la la

BEN ^
(beat)
Stop. \\*Now\\*.

Anna turns.

ANNA
No.

She shouts.

ANNA
(quietly)
Go.

They leave.

INT. EMPTY ROOM

SMASH CUT TO:
"""
    dark, road, leaving, room = scenes_of("a.fountain", text)
    assert (dark["kind"], dark["text"]) == ("narrated", "A voice from the dark.")
    assert dark["prompt"] == "Black screen. NOT A CUE Really"
    assert [line["text"] for line in road["lines"]] == ["La la la", "Stop. *Now*.", "No. Go."]
    assert road["prompt"] == "Exterior, road, day. Two people wait"
    manner = "{anna} turns. She shouts. quietly"
    assert road["lines"][2]["video_prompt"] == f"Person speaking naturally, {manner}"
    assert (leaving["prompt"], leaving["continues"]) == ("Exterior, road, day. They leave", True)
    assert (room["title"], room["transition"]) == ("Empty Room", "cut")
    notes = story_from_script("a.fountain", text).notes
    assert notes == ["line 19: lines of dual dialogue are said one after the other."]


def test_a_table_s_columns_and_dialogues() -> None:
    text = (
        "\nScene;Who;Image Prompt;Narration;Duration;Video;In;Budget\n"
        'a;Mara;a pier;"Hello; ""you""\nthere.";;;;5\n'
        "a;Tom;;Hi.;;;;\n"
        "b;;the sea;;0:04,5;;;\n"
        "c;;;;;shot.mp4;1:02;\n"
        "d;;a boat;It sank.;3;;;\n"
    )
    story = story_from_script("table.csv", text)
    talk, silent, clip, told = scenes_of("table.csv", text)
    assert [line["text"] for line in talk["lines"]] == ['Hello; "you" there.', "Hi."]
    assert (silent["seconds"], clip["clip"], clip["from"]) == (4.5, "shot.mp4", 62)
    assert (told["kind"], "seconds" in told) == ("narrated", False)
    assert [note.partition(":")[0] for note in story.notes] == ["line 2", "line 8"]


def test_recordings_in_a_table_are_their_speakers() -> None:
    text = (
        "id,speaker,text,audio\na,Mara,,1.wav\nb,Narrator,,2.wav\nc,Narrator,It rained.,3.wav\n"
        "d,Mara,Hi.,4.wav\nd,Tom,Ho.,5.wav\n"
    )
    mara, told, said, *talk = scenes_of("table.csv", text)
    assert (mara["character"], mara["audio"]) == ("mara", "1.wav") and "{mara}" in mara["prompt"]
    assert [(scene["kind"], "character" in scene) for scene in (told, said)] == [("narrated", False)] * 2
    assert [(scene["id"], scene["character"]) for scene in talk] == [("d", "mara"), ("d-2", "tom")]
    story = story_from_script("table.csv", text)
    assert {*story.data["characters"]} == {"mara", "tom"}
    (note,) = story.notes
    assert note.startswith("line 6: rows of one dialogue have a text and no recording")


def test_the_example_table() -> None:
    text = (EXAMPLES / "three-gardens.csv").read_text(encoding="utf-8")
    scenes = scenes_of("three-gardens.csv", text)
    assert [scene["id"] for scene in scenes] == ["roof", "june", "yard", "window"]
    assert scenes[1]["prompt"].startswith("Chest-up portrait of {june}, facing the camera, on a roof garden")
    assert [schema.parse(story_from_script("g.csv", text).data).scenes[n].kind_of for n in range(4)] == [
        *("narrated", "talking", "silent", "narrated")
    ]


def test_cues_of_a_sentence_are_a_scene() -> None:
    text = """1
00:00:01,000 --> 00:00:02,000
<i>It was</i> late &amp; dark,

2
00:00:02,100 --> 00:00:03,000
and nobody came.

3
00:00:06,000 --> 00:00:08,500
[door creaks]

4
00:00:09,000 --> 00:00:10,000
Hello?
"""
    late, door, hello = scenes_of("a.srt", text)
    assert (late["text"], late["pause_after"]) == ("It was late & dark, and nobody came.", 3.0)
    assert door["seconds"] == 2.5 and "door creaks" in door["prompt"]
    assert hello["text"] == "Hello?"
    voices = "WEBVTT\n\nNOTE x\n\nid\n00:01.000 --> 00:02.000 align:left\n<v Mara Bell>Hi.</v>\n"
    (scene,) = scenes_of("a.vtt", voices)
    assert (scene["character"], scene["text"]) == ("mara_bell", "Hi.")


def test_recordings_are_in_the_order_of_people() -> None:
    assert sorted(["10.wav", "2.wav", "a.wav", "1b.wav"], key=natural_order) == [
        "1b.wav",
        "2.wav",
        "10.wav",
        "a.wav",
    ]
    names = ["10 tom.wav", "2 Mara.mp3", "2 mara.txt", "2 Mara.PNG", "3.mp4", "3.srt", "lost.jpg", "x.pdf"]
    names += ["._3.mp4", "3.mov"]
    srt = "1\n00:00:01,000 --> 00:00:02,000\nHi.\n"
    script = read_recordings(names, {"2 mara.txt": "Hello\nthere.", "3.srt": srt})
    assert [passage.fields for passage in script.passages] == [
        {"audio": "2 Mara.mp3", "image": "2 Mara.PNG", "text": "Hello there."},
        {"clip": "3.mov", "text": "Hi."},
        {"audio": "10 tom.wav"},
    ]
    assert [passage.title for passage in script.passages] == ["Mara", "", "tom"]
    assert script.notes == [
        "3.mp4 is left out: 3.mov has the same name.",
        "._3.mp4 is left out: it is hidden, as its name begins with a dot.",
        "lost.jpg: left out, because no recording and no video has the same name.",
    ]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.pdf", "x", "a.pdf: is not a script by its name: it must end in one of .txt"),
        ("a.txt", " \n\n", "a.txt: has nothing to show or to say"),
        ("a.md", "# Only\n\n## headings", "a.md: has nothing to show or to say"),
        ("a.txt", "one\n\ntwo\0", "a.txt: line 3: holds the invisible character U+0000"),
        ("a.txt", "A word.\n\n" * 10_000, "a.txt: line 1001: begins scene 501 of 10000"),
        ("a.txt", f"Short.\n\n{'word ' * 2500}", "a.txt: scenes[1].text (line 3): has 12499 characters"),
        ("a.csv", "apples,pears\n1,2", "a.csv: line 1: the first row names the columns"),
        ("a.csv", 'text\nyes\n"no', "a.csv: line 3: a quote is opened in the row that begins here"),
        ("a.csv", "text,seconds\n,soon\n,-1", "line 2: 'soon' in the column seconds is not seconds"),
        ("a.csv", "text,text\na,b", "a.csv: line 1: more than one column is read as text"),
        ("a.csv", "text\na,b", "a.csv: line 2: the row has more cells than the first one"),
        ("a.csv", "text,kind\nx,\nx,loud", "scenes[1].kind (line 3): 'loud' is not valid"),
        ("a.srt", "1\n00:00:01,0 --> later\nHi.\n", "a.srt: line 2: '00:00:01,0 --> later' is not a time"),
        ("a.srt", "Hello.\n", "a.srt: line 1: a cue begins with its time"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(name: str, text: str, message: str) -> None:
    assert message in problems_of(name, text)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.txt", "שלום עולם 🎬\n\nسلام: دنیا\n\n- \n\n\f\x0bnew page\u2028line"),
        ("a.txt", "yes\n\nnull\n\n1.5\n\n: # & *a\n\n'\"\\\n\n--- x\n\n>- y"),
        ("a.txt", "马拉：谁？\n汤姆：我。\n马拉：进来。"),
        ("a.fountain", "[[" * 4_000 + "\n\nINT. X\n\n/* open"),
        ("a.fountain", "MARA (V.O.)\nAlone.\n\n@\n\n.\n\n>\n\n^\n\n()\n(x)\n\nTO:"),
        ("a.md", "> " * 5_000 + "deep\n\n" + "[" * 5_000),
        ("a.md", "<b>no</b>\n\n| a | b |\n|---|---|\n| c | d |\n\nText &amp; more."),
        ("a.vtt", "WEBVTT\n\n00:01.000 --> 00:02.000\n" + "<v " * 3_000 + "x"),
    ],
)
def test_odd_texts_are_stories_that_load(name: str, text: str) -> None:
    assert scenes_of(name, text)
