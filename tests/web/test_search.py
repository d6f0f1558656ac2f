"""Nodes are found by the words that people search for, not only by their names."""

from __future__ import annotations

import json
import re

import pytest

from driver.comfy.process import PACK
from tests.web.canvas import Canvas

WORDS = PACK / "web" / "canvas" / "search_words.mjs"
LOCALES = PACK / "locales"
NODES, IN_CHINESE = (
    json.loads((LOCALES / name / "nodeDefs.json").read_text("utf-8")) for name in ("en", "zh")
)
FINDS = {
    "lip sync": ["Talking Video"],
    "talking head": ["Talking Video"],
    "avatar": ["Talking Video"],
    "subtitle": ["Burned Captions", "Film", "Film Scene", "Word Times"],
    "caption": ["Burned Captions", "Film", "Film Scene"],
    "voice": ["Animatic", "Film Sound", "Word Times"],
}
FINDS_IN_CHINESE = {
    "数字人": ["说话视频"],
    "字幕": ["内嵌字幕", "影片场景", "逐词时间"],
    "配乐": ["影片声音"],
}


def test_the_search_finds_nodes_by_what_they_are_for(artist: Canvas) -> None:
    for words, nodes in FINDS.items():
        assert named(artist.find_nodes(words)) >= set(nodes), words
    artist.screenshot("found")
    artist.show_empty_place()
    dropped = artist.drop("Talking Video", 700, 400)
    title = artist.run_script(
        "id => window.app.graph.nodes.find(node => String(node.id) === id).title", dropped
    )
    assert title == NODES["StoryStudio_TalkingVideo"]["display_name"], "words of the search are in its title"


def test_the_search_finds_nodes_in_chinese(artist: Canvas) -> None:
    artist.change_settings({"Comfy.Locale": "zh"})
    try:
        artist.open()
        for words, nodes in FINDS_IN_CHINESE.items():
            assert named(artist.find_nodes(words)) >= set(nodes), words
        film = IN_CHINESE["StoryStudio_Film"]
        names = [film["inputs"][name]["name"] for name in ("join", "delivery")]
        assert artist.run_script(_SHOWN) == [film["display_name"], *names], (
            "the bundled interface loses the translations of packs"
        )
    finally:
        artist.change_settings({"Comfy.Locale": "en"})


_SHOWN = """() => {
    const node = LiteGraph.createNode('StoryStudio_Film');
    const { label } = node.widgets.find(widget => widget.name === 'join');
    const { localized_name } = node.inputs.find(input => input.name === 'delivery');
    return [node.title, label, localized_name];
}"""
EVERYDAY = {
    "TalkingVideo": "talking photo, portrait animation, voiceover, dub, narration, 口型, 照片说话",
    "Film": "concat, merge videos, transition, fade, srt, timeline, 转场",
    "FilmCards": "intro, outro",
    "FilmSound": "music, bgm, lufs",
    "OwnClip": "trim video, dub, 配音",
    "Storyboard": "screenplay, 剧本",
}
"""Words of which the bundled interface finds few: it searches no aliases."""


def test_everyday_words_are_aliases() -> None:
    entries = WORDS.read_text(encoding="utf-8").split("const WORDS = {")[1].split("\n}")[0]
    listed = {name: words.split(", ") for name, words in re.findall(r"^  (\w+): '(.+)'", entries, re.M)}
    assert all(len(words) == len(set(words)) for words in listed.values()), "each once"
    missing = {name: {*words.split(", ")} - {*listed[name]} for name, words in EVERYDAY.items()}
    assert not any(missing.values()), missing


def named(results: list[str]) -> set[str]:
    """The names without what is in brackets."""
    return {re.split(r"[ /]*[(（/]", result)[0] for result in results}


@pytest.mark.parametrize("table", ["WORDS", "LONG_NAMES"])
def test_every_word_belongs_to_a_node(table: str) -> None:
    entries = WORDS.read_text(encoding="utf-8").split(f"const {table} = {{")[1].split("\n}")[0]
    names = [f"StoryStudio_{name}" for name in re.findall(r"^  (\w+):", entries, re.MULTILINE)]
    assert names == sorted(set(names)), "sorted, each once"
    # The windows of a master are added by the master.
    wanted = {name for name in NODES if not name.startswith("StoryStudio_MasterWindow")}
    assert set(names) == wanted if table == "WORDS" else set(names) < wanted
