"""A story written as the data of a story file: the reverse of `schema.parse`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .schema import Story


def data_of(
    story: Story, named: Mapping[str, str | None], voices: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """The data of a story file that is the same story, without what a default gives.

    Args:
        story: the story; dialogues are the shots that they became.
        named: what its recordings, images, clips and music are called now, by what the story calls them;
            without one, or with None, a file keeps its name.
        voices: what the recordings of scenes are called that have only a text, by the scenes' ids; the story
            names those that are there.
    """
    data: dict[str, Any] = story.model_dump(mode="json", exclude_defaults=True, exclude_none=True)
    film = data.pop("film", {})
    # Sections without a value of their own.
    data = {name: value for name, value in data.items() if value != {}} | {"profile": story.profile}
    if story.film is None:
        data["film"] = False
    elif film:
        data["film"] = film
    places = [(scene, name) for scene in data["scenes"] for name in ("audio", "image", "clip")]
    places += [(character, "reference") for character in data.get("characters", {}).values()]
    places += [(film["music"], "file")] if "music" in film else []
    for part, name in places:
        if name in part:
            part[name] = named.get(part[name]) or part[name]
    for scene in data["scenes"]:
        if file := named.get((voices or {}).get(scene["id"], "")):
            scene["audio"] = file
    return data
