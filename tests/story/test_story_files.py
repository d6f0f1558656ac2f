"""Story files as people write and save them: what is read, and what a person reads where it cannot be."""

from __future__ import annotations

import codecs
import json
import tracemalloc
from pathlib import Path

import pytest

from story_studio.story import schema
from story_studio.story.problems import Problems

SCENES = "scenes:\n  - {id: a, prompt: x, audio: v.wav}\n"
JSON = '{"scenes": [{"id": "a", "prompt": "x", "audio": "v.wav"}]'


def problems(text: str, name: str = "s.yaml") -> list[str]:
    with pytest.raises(Problems) as caught:
        schema.read(text, Path(name))
    lines = str(caught.value).split("\n")
    assert all(line.startswith(f"{name}: ") for line in lines)
    return [line.removeprefix(f"{name}: ") for line in lines]


def story(text: str, name: str = "s.yaml") -> schema.Story:
    return schema.read(text, Path(name))


@pytest.mark.parametrize(
    ("written", "kind"),
    [
        *((text, "yes or no") for text in ("yes", "No", "on", "OFF", "true")),
        *((text, "a number") for text in ("1984", "-1", "0x10", "010", "0b11", "1_000", "1:30", "1.5")),
        *((text, "a number") for text in (".inf", "-.INF", ".nan", "1.0e+3", "1:1:1.5", "9" * 90)),
        *((text, "a date") for text in ("2025-02-28", "2025-02-29", "9999-99-99", "2025-1-1 1:00:00")),
        *((text, "no value") for text in ("null", "~", "Null")),
    ],
)
@pytest.mark.parametrize(
    ("key", "before", "after"),
    [
        ("title", "title: ", "\n" + SCENES),
        ("profile", "profile: ", "\n" + SCENES),
        ("scenes[0].text", "scenes:\n- {id: a, prompt: x, audio: v.wav, text: ", "}\n"),
        ("scenes[0].text", "scenes:\n- id: a\n  prompt: x\n  audio_url: v.wav\n  text: ", "\n"),
    ],
)
def test_text_that_yaml_reads_as_something_else_needs_quotes(
    written: str, kind: str, key: str, before: str, after: str
) -> None:
    line = before.count("\n") + 1
    said = f'{key} (line {line}): {written} is read as {kind}: put it in quotes: "{written}".'
    assert problems(f"{before}{written}{after}") == [said]
    for quoted in (f'"{written}"', f"'{written}'", f"!!str {written}"):
        if key != "profile":
            story(f"{before}{quoted}{after}")


@pytest.mark.parametrize("key", ["title", "style", "profile"])
@pytest.mark.parametrize("blank", ["", " # a comment", "\n"])
def test_a_blank_text_says_how_to_write_an_empty_one(key: str, blank: str) -> None:
    said = f'{key} (line 1): is empty: write text, leave the key out, or put the empty text in quotes: "".'
    assert problems(f"{key}:{blank}\n{SCENES}") == [said]


@pytest.mark.parametrize("written", ["1e3", "=", "<<", "12:30 o'clock", "2025-02", "yes, please", "1" * 101])
def test_what_yaml_reads_as_text_is_text(written: str) -> None:
    assert story(f"title: {written}\n{SCENES}").title == written


@pytest.mark.parametrize("name", ["yes", "2.5", "[1]", "{a: b}", "null", "2025-01-01"])
@pytest.mark.parametrize("key", ["id", "scene"])
def test_only_text_and_whole_numbers_are_ids(key: str, name: str) -> None:
    (said,) = problems(f"scenes:\n- {{{key}: {name}, prompt: x, audio: v.wav}}\n")
    assert said.startswith(f"scenes[0].{key} (line 2): ")
    assert story(f"scenes:\n- {{{key}: 7, prompt: x, audio: v.wav}}\n").scenes[0].id in ("7", "scene_7")


@pytest.mark.parametrize("value", ["yes", "false"])
def test_yes_is_no_number(value: str) -> None:
    text = f"seed: {value}\nimage_settings: {{steps: {value}, cfg: {value}}}\nfilm: {{captions: {value}}}\n"
    assert [said.partition(" (")[0] for said in problems(text + SCENES)] == [
        "seed",
        "image_settings.steps",
        "image_settings.cfg",
    ]


DUPLICATES = [
    (
        "scenes:\n- id: one\n  prompt: x\n  audio: a\n  id: two\n  prompt: y\n  audio: b\n",
        [("scenes[0].id", 5, 2), ("scenes[0].prompt", 6, 3), ("scenes[0].audio", 7, 4)],
    ),
    ("seed: 1\nscenes:\n- id: a\n  prompt: x\n  audio: v\nseed: 1\n", [("seed", 6, 1)]),
    (f"{SCENES}{SCENES}", [("scenes", 3, 1)]),
    (f"film:\n  captions: no\n  'captions': yes\n{SCENES}", [("film.captions", 3, 2)]),
    (f"film: {{captions: no,\n  captions: yes}}\n{SCENES}", [("film.captions", 2, 1)]),
    (f'{JSON},\n"seed": 1,\n"seed": 2,\n"seed": 3}}', [("seed", 3, 2), ("seed", 4, 2)]),
    (
        '{\n\t"scenes": [{\n\t"id": "a",\n\t"prompt": "x",\n\t"audio": "v",\n\t"id": "b"}]}',
        [("scenes[0].id", 6, 3)],
    ),
]


@pytest.mark.parametrize(("text", "expected"), DUPLICATES)
def test_duplicate_keys_are_named_with_both_lines(text: str, expected: list[tuple[str, int, int]]) -> None:
    said = problems(text)
    for (key, line, first), one in zip(expected, said, strict=True):
        assert one.startswith(f"{key} (line {line}): is a duplicate of the key in line {first}: delete one")


def test_duplicates_do_not_hide_other_problems() -> None:
    said = problems("titel: x\nseed: 1\nseed: no\nscenes:\n- {id: a, prompt: x}\n- A boat\n")
    assert [one.partition(":")[0] for one in said] == [
        "seed (line 3)",
        "scenes[0] (line 5)",
        "scenes[1] (line 6)",
        "titel (line 1)",
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("scenes:\n  id: a\n", "scenes (line 1): is a mapping, and must be a list: begin each item with"),
        ("scenes: A boat\n", "scenes (line 1): is text, and must be a list"),
        ("scenes:\n", "scenes (line 1): is empty, and must be a list"),
        ("scenes: []\n", "scenes (line 1): "),
        ("title: x\n", "scenes (line 1): is missing: The scenes in order."),
        ("scenes:\n- A boat\n", "scenes[0] (line 2): is text, and must be a mapping with keys like `id`"),
        ("scenes:\n- [a]\n", "scenes[0] (line 2): is a list, and must be a mapping"),
        ("scenes:\n-\n", "scenes[0] (line 2): is empty, and must be a mapping"),
        (f"image_settings:\n{SCENES}", "image_settings (line 1): is empty, and must be a mapping with keys"),
        (f"video_settings: 720p\n{SCENES}", "video_settings (line 1): is text, and must be a mapping"),
        (f"film: []\n{SCENES}", "film (line 1): is a list, and must be a mapping"),
        (f"film: 2025-01-01\n{SCENES}", "film (line 1): is a date, and must be a mapping"),
        (f"seed:\n{SCENES}", "seed (line 1): is empty: write a value, or leave the key out."),
        (f"title: [a, b]\n{SCENES}", "title (line 1): is a list, and must be text"),
        (f"title: {{a: b}}\n{SCENES}", "title (line 1): is a mapping, and must be text"),
        (f"title: {'x' * 201}\n{SCENES}", "title (line 1): has 201 characters, and 200 are the most"),
        (f"on: 1\n{SCENES}", "on (line 1): unknown key, known: "),
        (f"2025-01-01: 1\n{SCENES}", "2025-01-01 (line 1): unknown key, known: "),
        (f"Title: x\n{SCENES}", "Title (line 1): unknown key, did you mean 'title'?"),
        (f"TITLE: x\n{SCENES}", "TITLE (line 1): unknown key, did you mean 'title'?"),
        (f'"": x\n{SCENES}', '"" (line 1): unknown key, known: '),
        ("scenes: [{id: a, prompt: x, audio: v, seed:1}]", "scenes[0].seed:1 (line 1): unknown key: write a"),
        ("scenes: [{id: a, scene: 1, prompt: x, audio: v}]", "scenes[0].scene (line 1): is another name of"),
        (
            "scenes: [{id: a, prompt: x, audio: ' '}]",
            "scenes[0].audio (line 1): ' ' is not valid: it is empty",
        ),
        (f"task: video\n{SCENES}", "task (line 1): only a request with task `batch` is a story"),
        ("- id: a\n", "is a list: write `scenes:` above it."),
        ("", "is empty. A story is a mapping"),
        ("# only a comment\n", "is empty. A story is a mapping"),
        ("---\n", "is empty. A story is a mapping"),
        ("A story", "A story is a mapping with a list of `scenes`"),
    ],
)
def test_values_of_a_wrong_kind(text: str, said: str) -> None:
    (problem,) = problems(text)
    assert problem.startswith(said)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("scenes:\n\t- id: a\n", "line 2: is indented with a tab, which YAML does not allow: use spaces."),
        ("scenes:\n  - id: a\n    prompt: x\n   audio: v\n", "line 4: is indented unlike the lines before"),
        (
            "title: Scene 1: x\n",
            'line 1: has a ":" or "-" where none is expected: put text that has ": " in it',
        ),
        ("seed: 1\ntitle:x\nstyle: y\n", 'line 3: has a ":" or "-" where none'),
        ("title: 'x\n", "line 1: a quote is opened here and never closed"),
        ("title: 'It's'\n", "line 1: text follows a closing quote or bracket"),
        ('a: 1\ntitle: "Hi" she said\n', "line 2: text follows a closing quote or bracket"),
        ("style: [cinematic] light\n", "line 1: text follows a closing quote or bracket"),
        ('title: "C:\\data"\n', "line 1: has a backslash that begins no escape"),
        ("scenes: [{id: a}\ntitle: x\n", "line 2: a comma or the closing bracket is missing"),
        *((f"style: {begin}x\n", "line 1: text begins with a character that has") for begin in "@`%>|"),
        ("style: *star*\n", "line 1: text begins with a character that has"),
        ("style: *star\n", "line 1: *star is read as an alias, and nothing is named &star"),
        ("style: x\n---\ntitle: y\n", "line 2: begins a second document (---)"),
        ("? [a, b]\n: x\n", "line 1: a key must be text"),
        ("title: a\nstyle: b\0\n", "line 2: holds the invisible character U+0000"),
        ("title: a\nstyle: b\x1b[2J\n", "line 2: holds the invisible character U+001B"),
        ("title: a\nstyle: b\x80\n", "line 2: holds the invisible character U+0080"),
        *((f"title: a\nstyle: b{c}c\n", "line 2: holds the invisible character") for c in "\x85\u2028\u2029"),
        ("title: a\n...\nstyle: b\n", "line 3: is not part of the story, which ends before it"),
    ],
)
def test_what_is_not_yaml_is_explained_at_its_line(text: str, said: str) -> None:
    (problem,) = problems(text)
    assert problem.startswith(said)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            '{\n\t"title": "x",\n\t"scenes": [\n\t\t{"id": "a"}\n\t\t{"id": "b"}\n\t]\n}',
            'line 4: a comma is missing after `{"id": "a"}`.',
        ),
        ('{\n\t"title": "x"\n\t"seed": 1\n}', 'line 2: a comma is missing after `"title": "x"`.'),
        ('{"title": "x" "seed": 1}', "line 1: a comma is missing after"),
        ('{\n\t"title" "x"\n}', 'line 2: a colon is missing after the key "title".'),
        ('{\n\t// c\n\t"title": "x"}', "line 2: JSON has no comments"),
        ('{\n\t"title": "C:\\data"}', "line 2: text holds a backslash that begins no JSON escape"),
        ('{"title": "x"', 'line 1: the end is missing: a "{" is not closed'),
        ('{"title": "x', "line 1: a quote is opened and never closed"),
        (f"{JSON}}}\n}}", "line 2: text follows the end of the story"),
        ('{\n\t\u201ctitle\u201d: "x" "y"}', "line 2: a key in double quotes is expected here"),
        ('{\n\t"title": \u201cx\u201d]', "line 2: \u201c is not a quote of JSON"),
        ('{"seed": NaN]', "line 1: `NaN` is not a JSON value"),
        ('{"title":', "line 1: the text ends where a value is expected"),
    ],
)
def test_what_is_not_json_is_explained_at_its_line(text: str, said: str) -> None:
    for name in ("s.json", "s.JSON"):
        (problem,) = problems(text, name)
        assert problem.startswith(said)


@pytest.mark.parametrize(
    "text",
    [
        f"{JSON}}}",
        f"{JSON},}}",
        f"# a comment\n{JSON}}}",
        JSON.replace('"', "'") + "}",
        json.dumps(json.loads(f"{JSON}}}"), indent="\t"),
        f"---\n{SCENES}...\n",
        f"%YAML 1.1\n---\n{SCENES}",
    ],
)
@pytest.mark.parametrize("name", ["s.json", "s.yaml", "s.yml", "s"])
def test_json_and_yaml_are_read_under_either_name(text: str, name: str) -> None:
    assert [scene.audio for scene in story(text, name).scenes] == ["v.wav"]


@pytest.mark.parametrize(
    "tag", ["!!binary aGk=", "!!set {a, b}", "!!omap [a: b]", "!mine x", "!!python/object/apply:os.getcwd []"]
)
def test_tags_are_refused_and_run_nothing(tag: str) -> None:
    assert (
        f"title (line 1): has the tag {tag.partition(' ')[0]}: delete it"
        in problems(f"title: {tag}\n{SCENES}")[0]
    )


def test_a_few_aliases_and_merges_are_allowed() -> None:
    parsed = story(
        "title: &t Hello\nstyle: *t\nscenes:\n"
        "- &first {id: a, prompt: x, audio: v.wav, seed: 1}\n"
        "- {<<: *first, id: b}\n"
        "- {id: c, <<: [{seed: 2}, *first]}\n"
    )
    assert parsed.style == "Hello"
    assert [(scene.id, scene.prompt, scene.seed) for scene in parsed.scenes] == [
        ("a", "x", 1),
        ("b", "x", 1),
        ("c", "x", 2),
    ]
    merged = "scenes:\n- &m {id: a, prompt: x, audio: 5}\n- {<<: *m,\n   id: b}\n- {<<: 3, id: c}\n"
    assert [one.partition(":")[0] for one in problems(merged)] == [
        "scenes[2].<< (line 5)",
        "scenes[0].audio (line 2)",
        "scenes[1].audio (line 2)",
        "scenes[2] (line 5)",
    ]


def _bomb(levels: int) -> str:
    names = "abcdefghijklmnop"
    lines = ["a: &a [x, x, x, x, x, x, x, x, x]"]
    for one, before in zip(names[1:levels], names, strict=False):
        lines.append(f"{one}: &{one} [{', '.join([f'*{before}'] * 9)}]")
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (_bomb(10) + SCENES, "aliases repeat too much; a story has at most 500 scenes"),
        (f"{_bomb(10)}scenes: [{{<<: *j}}]\n", "aliases repeat too much"),
        ("a: &a [*a]\n", "line 1: *a stands inside of what it repeats"),
        ("a: &a {b: {<<: *a}}\n", "line 1: *a stands inside of what it repeats"),
        ("a: " + "[" * 100_000, "line 1: nested more than 50 deep"),
        ("- " * 10_000, "line 1: nested more than 50 deep"),
        ("\n".join("  " * level + "a:" for level in range(100)), "line 52: nested more than 50 deep"),
        ('{"a": ' + "[" * 100_000, "line 1: nested more than 50 deep"),
        ('{"a": ' * 100_000, "line 1: nested more than 50 deep"),
        ("scenes:\n" + "- {id: a, prompt: x, audio: v}\n" * 20_000, "a story has at most 500 scenes: split"),
        ("scenes: [" + "x, " * 60_000 + "]", "a story has at most 500 scenes: split"),
        ('{"scenes": [' + '{"id": "a"}, ' * 30_000 + "0]}", "a story has at most 500 scenes: split"),
    ],
)
def test_what_would_take_all_time_and_memory_is_refused_early(text: str, said: str) -> None:
    (problem,) = problems(text, "s.json" if text.startswith("{") else "s.yaml")
    assert said in problem


def test_a_bomb_of_aliases_is_not_expanded() -> None:
    tracemalloc.start()
    problems(_bomb(10) + SCENES)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**20


def test_more_scenes_than_a_story_holds_are_counted() -> None:
    scenes = "".join(f"- {{id: s{number}, prompt: x, audio: v}}\n" for number in range(501))
    assert problems(f"scenes:\n{scenes}") == [
        "scenes (line 1): has 501 items, and 500 are the most: split the story into several files."
    ]


def test_the_first_of_many_problems_are_shown() -> None:
    said = problems("".join(f"key{number}: 1\n" for number in range(5000)) + SCENES)
    assert len(said) == 51 and said[-1] == "And 4950 more problems."


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_files_of_any_editor_are_read(tmp_path: Path, encoding: str, newline: str) -> None:
    path = tmp_path / "s.yaml"
    text = f"title: Ers\u00e4tze \u6f22\ntitel: x\n{SCENES}".replace("\n", newline)
    path.write_bytes(text.encode(encoding))
    with pytest.raises(Problems, match=r"titel \(line 2\): unknown key"):
        schema.load(path)
    path.write_bytes(text.replace(f"titel: x{newline}", "").encode(encoding))
    assert schema.load(path).title == "Ers\u00e4tze \u6f22"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (
            "title: x\nstyle: caf\u00e9\n".encode("latin-1"),
            "line 2: the file is not UTF-8 (byte 0xE9): save it",
        ),
        ("title: x\n".encode("utf-16-le"), "line 1: the file is not text, or is UTF-16 without a mark: save"),
        (codecs.BOM_UTF16_LE + b"a", "line 1: the file is not UTF-16-LE"),
        (b"PK\x03\x04\0\0\0\0", "line 1: the file is not text"),
        (b"\x89PNG\r\n\x1a\n", "line 1: the file is not UTF-8"),
    ],
)
def test_other_encodings_are_explained(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "s.yaml"
    path.write_bytes(content)
    with pytest.raises(Problems) as caught:
        schema.load(path)
    assert str(caught.value).startswith(f"{path}: {said}")


def test_a_huge_file_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    with path.open("wb") as file:
        file.truncate(2**40)
    tracemalloc.start()
    with pytest.raises(Problems, match="larger than 32 MB"):
        schema.load(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100 * 2**20


@pytest.mark.parametrize("digits", ["9" * 5000, "-" + "9" * 5000, "1." + "9" * 5000, "1:" * 3000 + "1"])
@pytest.mark.parametrize("form", [f"seed: DIGITS\n{SCENES}", f'{JSON}, "seed": DIGITS}}'])
def test_numbers_of_thousands_of_digits_are_refused(digits: str, form: str) -> None:
    (said,) = problems(form.replace("DIGITS", digits))
    assert said.startswith("seed (line 1): ") and len(said) < 300


def test_keys_are_shown_without_control_characters() -> None:
    (said,) = problems(f'{JSON}, "\\u001b[2J\\ud800{"x" * 500}": 1}}')
    said.encode()
    assert "\x1b" not in said and len(said) < 300
