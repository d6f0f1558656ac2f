"""How commands speak the texts of stories: with the voices of this machine, or a recipe on their server."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from story_studio.story.schema import Story

from .. import terminal
from ..comfy.client import Comfy
from ..fetch.local import spelled
from ..rendering.prepare import Speak
from ..voices.recipe import speak_with_recipe
from ..voices.speak import Spoken, find_voice, speak


def speaker(
    output: Path,
    models: Path,
    comfy: Callable[[], Comfy] | None = None,
    *,
    kept: Path | None = None,
    estimate: bool = False,
) -> Speak:
    """What `prepare` speaks with, showing how far it is.

    Args:
        output: folder of the projects, in which voices are kept.
        models: folder of model files; its folder `piper` may have voices of your own.
        comfy: starts the server for stories with a voice recipe.
        kept: the folder of the projects, where `output` is a temporary one.
        estimate: without a server, estimates how long voices will be; `output` is a temporary folder.
    """

    def fetch(key: str, path: Path) -> bool:
        found = find_voice(kept, key) if kept else None
        if found:
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(found, path)
        return found is not None

    def speak_story(story: Story, file: Path) -> Spoken:
        if not any(scene.is_spoken for scene in story.scenes):
            return Spoken()
        with terminal.working("Speaking the texts") as show:
            if workflow := story.voice_settings.workflow:
                recipe = spelled(workflow, file.parent)
                spoken = speak_with_recipe(story, recipe, output, comfy, show, fetch, estimate)
                if count := len(spoken.estimates):
                    length = terminal.duration(sum(spoken.estimates.values()))
                    which = "A voice is" if count == 1 else f"{count} voices are"
                    terminal.say(f"{which} still to be made by {recipe.name}: about {length}, by the texts.")
                return spoken
            return speak(story, output, models / "piper", show, fetch)

    return speak_story
