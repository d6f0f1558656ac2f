"""A story whose second clip stands still, unless it is made with another seed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from tests.voices import write_voice

FREEZES = 13
"""The seed with which the recipe's clip stands still."""


def freezing_recipe(freezes: str) -> dict[str, Any]:
    """A recipe without models; `freezes` are the seeds with which its clips stand still."""
    save = {"video": ["5", 0], "filename_prefix": "clip", "format": "auto", "codec": "auto"}
    nodes: dict[str, tuple[str, str, dict[str, Any]]] = {
        "1": ("$image", "LoadImage", {"image": "still.png"}),
        "2": ("$audio", "LoadAudio", {"audio": "voice.wav"}),
        "3": ("$seed", "PrimitiveInt", {"value": 0}),
        "4": (
            "move",
            "TestMove",
            {"image": ["1", 0], "audio": ["2", 0], "seed": ["3", 0], "freezes": freezes},
        ),
        "5": ("video", "CreateVideo", {"images": ["4", 0], "audio": ["2", 0], "fps": 16.0}),
        "6": ("$clip", "SaveVideo", save),
    }
    return {
        node: {"class_type": cls, "inputs": inputs, "_meta": {"title": title}}
        for node, (title, cls, inputs) in nodes.items()
    }


def freezing_story(folder: Path, freezes: str = str(FREEZES), **more: Any) -> Path:
    """Writes the story of two scenes, with its recipe and voices."""
    (folder / "move.json").write_text(json.dumps(freezing_recipe(freezes)))
    scenes = [
        # Nobody speaks on screen, so that a face is neither missed nor looked for.
        {"id": name, "kind": "narrated", "prompt": name, "seed": seed, "audio": f"{name}.wav"}
        for name, seed in (("moves", 1), ("freezes", FREEZES))
    ]
    for scene in scenes:
        write_voice(folder / str(scene["audio"]), 1.6)
    story = {
        "project_id": "freezing",
        "profile": "draft",
        "scenes": scenes,
        "video_settings": {"resolution": "128x96", "narrated_workflow": "move.json"},
        "quality": {"retakes": 2},
        **more,
    }
    path = folder / "story.yaml"
    path.write_text(yaml.safe_dump(story, sort_keys=False))
    return path
