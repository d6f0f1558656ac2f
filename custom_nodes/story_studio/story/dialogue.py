"""Dialogues: a scene of several lines becomes a shot for each, cut between the speakers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .scene import DEFAULT_VIDEO_PROMPT, Line, Scene

ESTABLISHING_SECONDS = 2.0
PAUSE_SECONDS = 0.2
"""Between two lines: people answer each other after about a fifth of a second (Stivers et al. 2009)."""


def shots_of(scene: Scene, number: int) -> list[Scene]:
    """The shots of a scene: of a dialogue an establishing one and one for each line, else the scene itself.

    Args:
        scene: the scene.
        number: its index in the story, for messages.
    """
    if not scene.lines:
        scene._place = scene._place or f"scenes[{number}]"
        return [scene]
    fields = [
        *_establishing(scene),
        *(_line(scene, line, index) for index, line in enumerate(scene.lines, 1)),
    ]
    shots = []
    for index, shot_fields in enumerate(fields):
        is_last = index == len(fields) - 1
        shot_fields |= {
            "continues": scene.continues or index > 0,
            "title": "" if index else scene.title or scene.id,
            "music": scene.music,
            "transition": scene.transition if is_last else "cut",
        }
        if is_last and shot_fields.get("pause_after") is None:
            shot_fields["pause_after"] = scene.pause_after
        elif shot_fields.get("pause_after") is None:
            shot_fields["pause_after"] = PAUSE_SECONDS
        shot = Scene.model_validate({name: value for name, value in shot_fields.items() if value is not None})
        line = int(shot.id.rpartition(".")[2])
        shot._place = f"scenes[{number}]" + (f".lines[{line - 1}]" if line else "")
        shot._dialogue = scene.id
        shots.append(shot)
    return shots


def _establishing(scene: Scene) -> Iterator[dict[str, Any]]:
    """The shot of all speakers, if the dialogue has one."""
    speakers = list(dict.fromkeys(line.character for line in scene.lines if line.character))
    seconds = scene.establishing
    if seconds is None:
        seconds = ESTABLISHING_SECONDS if len(speakers) > 1 else 0.0
    if seconds:
        who = " and ".join(f"{{{speaker}}}" for speaker in speakers)
        prompt = f"Wide shot of {who} together, {scene.prompt}" if who else scene.prompt
        yield {
            "id": f"{scene.id}.0",
            "seconds": max(seconds, 0.5),
            "prompt": prompt if scene.prompt else "",
            "image": scene.image,
            "seed": scene.seed,
            "pause_after": 0.0,
        }


def _line(scene: Scene, line: Line, number: int) -> dict[str, Any]:
    """The shot of a line; nobody's line is narrated."""
    is_talking = line.character and scene.kind != "narrated"
    close = f"Chest-up portrait of {{{line.character}}}, facing the camera, {scene.prompt}"
    return {
        "id": f"{scene.id}.{number}",
        "kind": "talking" if is_talking else "narrated",
        "character": line.character,
        "prompt": line.prompt or (close if line.character else scene.prompt),
        "image": line.image or (scene.image if not line.character else None),
        "audio": line.audio,
        "text": line.text,
        "video_prompt": line.video_prompt or scene.video_prompt or DEFAULT_VIDEO_PROMPT,
        "translations": line.translations,
        "seed": line.seed if line.seed is not None else scene.seed,
        "still_take": line.still_take,
        "clip_take": line.clip_take,
        "pause_after": line.pause_after,
    }
