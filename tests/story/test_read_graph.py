"""A story that became a graph is read back from it; a graph that an artist changed becomes a story too."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from driver.rendering.keys import predict
from story_studio.story import graph, recipes, schema
from story_studio.story.read_graph import read_graph
from tests.story.test_keys import with_linked_constants, with_typed_constants

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=40).map(str.strip)
WORDS = st.one_of(TEXTS, st.sampled_from(["a pier (old), at dawn.", r"\(x:1.5\)", "...", "城门, 夜", "a, b"]))
IDS = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,20}", fullmatch=True)
SEEDS = st.integers(0, schema.MAX_SEED)
TAKES = st.none() | st.from_regex("[0-9a-f]{24}", fullmatch=True)
CFG = st.none() | st.sampled_from([1.0, 1.5, 4.0, 4.5, 30.0])
STEPS = st.none() | st.integers(1, 200)
NEGATIVE = st.none() | WORDS


@st.composite
def scenes(draw: st.DrawFn) -> list[dict[str, Any]]:
    ids = draw(st.lists(IDS, min_size=1, max_size=4, unique_by=str.lower))
    found = []
    for scene_id in ids:
        image = draw(st.none() | st.sampled_from(["own.png", "story_studio/二.png"]))
        found.append(
            {
                "id": scene_id,
                "title": draw(st.one_of(TEXTS, st.just(scene_id))),
                "prompt": draw(WORDS if image else WORDS.filter(bool)),
                "audio": draw(st.sampled_from(["a.wav", "story_studio/b c.mp3"])),
                "image": image,
                "video_prompt": draw(WORDS),
                "text": draw(TEXTS),
                "seed": draw(st.none() | SEEDS),
                "still_take": draw(TAKES),
                "clip_take": draw(TAKES),
            }
        )
    return found


@st.composite
def stories(draw: st.DrawFn) -> schema.Story:
    sides = st.none() | st.integers(4, 128).map(lambda side: 16 * side)
    image = {"width": draw(sides), "height": draw(sides), "steps": draw(STEPS), "cfg": draw(CFG)}
    resolution = draw(st.sampled_from(["480p", "720p", "832x480", "64x64", "4096x4096", "1000x700"]))
    video = {"resolution": resolution, "sample_steps": draw(STEPS), "cfg": draw(CFG)}
    film = {
        "join": draw(st.sampled_from(["cut", "crossfade"])),
        "crossfade_seconds": draw(st.sampled_from([0.1, 0.5, 1.0, 2.5])),
        "chapters": draw(st.booleans()),
        "captions": draw(st.booleans()),
    }
    return schema.parse(
        {
            "project_id": draw(IDS.filter(lambda name: name.lower() != "story_studio")),
            "title": draw(TEXTS),
            "profile": draw(st.sampled_from(recipes.profile_names())),
            "style": draw(WORDS),
            "seed": draw(SEEDS | st.just(0)),
            "scenes": draw(scenes()),
            "image_settings": image | {"negative_prompt": draw(NEGATIVE)},
            "video_settings": video | {"negative_prompt": draw(NEGATIVE)},
            "film": draw(st.one_of(st.just(film), st.booleans())),
        }
    )


def plan(story: schema.Story) -> graph.Plan:
    files = {scene.id: graph.Files(scene.audio, scene.image) for scene in story.scenes}
    return graph.Plan(story, recipes.load_profile(story.profile), files)


def built(story: schema.Story) -> graph.Graph:
    return graph.build([plan(story)])


def said(story: schema.Story) -> dict[str, Any]:
    """All that a story says in its graph: what it leaves out is the profile's, and what has no effect is not
    in the graph."""
    one = plan(story)
    drawn = [scene for scene in story.scenes if not scene.image]
    still, clip = one.profile.still.parameters, one.profile.clip.parameters
    images = [graph.still_values(one, scene) for scene in drawn[:1]]
    video = graph.clip_values(one, story.scenes[0])
    settings = ("width", "height", "steps", "cfg", "negative_prompt")
    start = {"image": one.profile.still, "video": one.profile.clip}

    def kept(kind: str, values: dict[str, Any]) -> dict[str, Any]:
        recipe = start[kind]
        written = {
            name: next(iter(recipe.nodes[node]["inputs"].values()))
            for name, node in recipe.parameters.items()
        }
        return {name: values.get(name, written[name]) for name in settings if name in written}

    return {
        "project_id": story.project_id,
        # Without a film, the contact sheet alone has the title, and the project's id if there is none.
        "title": story.title if story.film or story.title != story.project_id else "",
        "profile": story.profile,
        "style": story.style if drawn and "prompt" in still else None,
        "image_settings": [kept("image", values) for values in images],
        "video_settings": kept("video", video),
        "film": story.film.model_dump(exclude={"partial"}) if story.film else None,
        "scenes": [
            scene.model_dump(exclude={"seed", "title", "video_prompt"})
            | {"seed": story.seed_of(scene), "title": scene.title or scene.id}
            | ({"video_prompt": scene.video_prompt} if "prompt" in clip else {})
            for scene in story.scenes
        ],
    }


@settings(max_examples=300)
@given(stories())
def test_a_story_that_became_a_graph_is_read_back(story: schema.Story) -> None:
    before = built(story)
    file = read_graph(before.nodes)
    again = schema.parse(json.loads(json.dumps(file.data)))
    assert said(again) == said(story)
    after = built(again)
    assert after.nodes == before.nodes
    assert predict(after, {}) == predict(before, {})
    assert set(file.warnings) <= set(graph.warnings(plan(story)))
    # What the story would say anyway is not said.
    assert read_graph(after.nodes).data == file.data


@settings(max_examples=50)
@given(stories())
def test_typed_and_linked_constants_say_the_same(story: schema.Story) -> None:
    before = built(story).nodes
    expected = read_graph(before)
    assert read_graph(with_typed_constants(before)) == expected
    assert read_graph(with_linked_constants(before)) == expected
