"""Stories of every kind as Hypothesis makes them, and their graphs."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from story_studio.story import graph, recipes, schema
from story_studio.story.formats import FORMATS, RATES
from story_studio.story.plan import profile_of

ONE = {"id": "one", "prompt": "a pier", "audio": "1.wav"}


TWO = {"id": "two", "prompt": "a boat", "audio": "2.wav"}


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=40).map(str.strip)


WORDS = st.one_of(TEXTS, st.sampled_from(["a pier (old), at dawn.", r"\(x:1.5\)", "...", "城门, 夜", "a, b"]))


IDS = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,20}", fullmatch=True)


SEEDS = st.integers(0, schema.MAX_SEED)


TAKES = st.none() | st.from_regex("[0-9a-f]{24}(@[0-9a-f]{24})?", fullmatch=True)


CFG = st.none() | st.sampled_from([1.0, 1.5, 4.0, 4.5, 30.0])


STEPS = st.none() | st.integers(1, 200)


NEGATIVE = st.none() | WORDS


@st.composite
def scenes(draw: st.DrawFn) -> list[dict[str, Any]]:
    ids = draw(st.lists(IDS, min_size=1, max_size=4, unique_by=str.lower))
    entries = []
    for scene_id in ids:
        image = draw(st.none() | st.sampled_from(["own.png", "story_studio/二.png"]))
        entries.append(
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
                "transition": draw(st.sampled_from([None, "cut", "crossfade", "dip"])),
                "pause_after": draw(st.sampled_from([None, 0.0, 0.7])),
                "music": draw(st.booleans()),
                "translations": draw(st.sampled_from([{}, {"de": "Guten Tag: du", "pt-BR": "Bom dia"}])),
            }
        )
    return entries


@st.composite
def stories(draw: st.DrawFn) -> schema.Story:
    sides = st.none() | st.integers(4, 128).map(lambda side: 16 * side)
    image = {"width": draw(sides), "height": draw(sides), "steps": draw(STEPS), "cfg": draw(CFG)}
    resolution = draw(st.sampled_from(["480p", "720p", "832x480", "64x64", "4096x4096", "1000x700"]))
    video = {"resolution": resolution, "sample_steps": draw(STEPS), "cfg": draw(CFG)}
    return schema.parse(
        {
            "project_id": draw(IDS.filter(lambda name: name.lower() != "story_studio")),
            "title": draw(TEXTS),
            "profile": draw(st.sampled_from(recipes.profile_names())),
            "style": draw(WORDS),
            "seed": draw(SEEDS | st.just(0)),
            "quality": draw(st.sampled_from([{}, {"check": False}, {"retakes": 1}, {"retakes": 5}])),
            "scenes": draw(scenes()),
            "image_settings": image | {"negative_prompt": draw(NEGATIVE)},
            "video_settings": video | {"negative_prompt": draw(NEGATIVE)},
            "film": draw(st.one_of(films(), st.booleans())),
        }
    )


@st.composite
def films(draw: st.DrawFn) -> dict[str, Any]:
    """Film settings; those that have no effect without another one come with it."""
    delivery = {
        "format": draw(st.sampled_from(["as rendered", *FORMATS])),
        "fps": draw(st.sampled_from([None, *RATES])),
        "fit": draw(st.sampled_from(["letterbox", "blur"])),
        "codec": draw(st.sampled_from(["h264", "h265", "av1"])),
    }
    masters = {
        "fps": 24,
        "interpolation": draw(st.sampled_from(["motion", "blend", "repeat", "model"])),
        "upscale": draw(st.sampled_from(["lanczos", "model"])),
        "match_color": draw(st.booleans()),
    }
    sides = draw(st.sampled_from([{}, {"width": 640, "height": 360}]))
    cards = {
        "opening": draw(TEXTS.filter(bool) | st.just(True)),
        "card_seconds": draw(st.sampled_from([2.0, 3.0])),
    }
    ends = {"credits": draw(TEXTS.filter(bool)), "fade_seconds": draw(st.sampled_from([0.0, 1.5]))}
    music = {
        "file": "song.mp3",
        "level": draw(st.sampled_from([-18.0, -24.0])),
        "fade_seconds": draw(st.sampled_from([2.0, 0.0])),
        "duck": draw(st.booleans()),
    }
    sound = {"music": draw(st.sampled_from([None, music])), "room_tone": draw(st.booleans())}
    burned = {
        "style": draw(st.sampled_from(["clean", "boxed", "words"])),
        "size": draw(st.sampled_from([0.0, 0.1])),
        "position": draw(st.sampled_from(["bottom", "top"])),
        "language": draw(st.sampled_from([None, "de"])),
    }
    parts = [delivery | sides, masters, cards, ends, sound | {"loudness": -14}, {"burned_captions": burned}]
    chosen = draw(st.lists(st.sampled_from(parts), max_size=3))
    film = {
        "join": draw(st.sampled_from(["cut", "crossfade", "dip"])),
        "crossfade_seconds": draw(st.sampled_from([0.1, 0.5, 1.0, 2.5])),
        "chapters": draw(st.booleans()),
        "captions": draw(st.booleans()),
        "pause_after": draw(st.sampled_from([0.0, 0.4])),
        "loudness": draw(st.sampled_from([-16, False])),
    }
    return {name: value for part in [film, *chosen] for name, value in part.items() if value is not None}


def plan(story: schema.Story) -> graph.Plan:
    files = {scene.id: graph.Files(scene.audio, scene.image, scene.clip) for scene in story.scenes}
    music = story.film.music.file if story.film and story.film.music else None
    return graph.Plan(story, profile_of(story), files, music=music)


def graph_of(story: schema.Story) -> graph.Graph:
    return graph.build([plan(story)])


def effective_values(story: schema.Story) -> dict[str, Any]:
    """All of a story that its graph holds: what it leaves out is the profile's, and what has no effect is not
    in the graph."""
    planned = plan(story)
    drawn = [scene for scene in story.scenes if not scene.image]
    still, clip = planned.profile.still.parameters, planned.profile.clip.parameters
    images = [graph.still_values(planned, scene) for scene in drawn[:1]]
    video = graph.clip_values(planned, story.scenes[0])
    settings = ("width", "height", "steps", "cfg", "negative_prompt")
    start = {"image": planned.profile.still, "video": planned.profile.clip}

    def effective(kind: str, values: dict[str, Any]) -> dict[str, Any]:
        recipe = start[kind]
        written = {
            name: next(iter(recipe.nodes[node]["inputs"].values()))
            for name, node in recipe.parameters.items()
        }
        return {name: values.get(name, written[name]) for name in settings if name in written}

    return {
        "project_id": story.project_id,
        # Without a film only the contact sheet has the title, or the project's id if there is none.
        "title": story.title if story.film or story.title != story.project_id else "",
        "profile": story.profile,
        "style": story.style if drawn and "prompt" in still else None,
        "image_settings": [effective("image", values) for values in images],
        "video_settings": effective("video", video),
        "film": _effective_film(story, planned.profile) if story.film else None,
        "scenes": [
            scene.model_dump(exclude={"seed", "title", "video_prompt"})
            | {"seed": story.seed_of(scene), "title": scene.title or scene.id}
            | ({"video_prompt": scene.video_prompt} if "prompt" in clip else {})
            for scene in story.scenes
        ],
    }


def _effective_film(story: schema.Story, profile: recipes.Profile) -> dict[str, Any]:
    assert story.film
    film = story.film.model_dump(exclude={"partial", "opening"}) | profile.film_settings
    return film if film["fps"] else film | {"interpolation": None}


def named_none(field: str) -> schema.Story:
    """A story with the guidance of another profile, and a text that is also the word for no LoRA."""
    scene = {**ONE, "video_prompt": "", field: "none"}
    settings = {"cfg": 4.5, "sample_steps": 1}
    return schema.parse(
        {"project_id": "tale", "profile": "turbo", "scenes": [scene], "video_settings": settings}
    )
