"""Nodes are found by the words that people search for, not only by their names."""

from __future__ import annotations

import json
import re

import pytest

from driver.paths import ROOT
from tests.web.canvas import Canvas

WORDS = ROOT / "custom_nodes" / "story_studio" / "web" / "canvas" / "search_words.mjs"
NODES = json.loads((ROOT / "custom_nodes" / "story_studio" / "locales" / "en" / "nodeDefs.json").read_text())
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
    finally:
        artist.change_settings({"Comfy.Locale": "en"})


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
