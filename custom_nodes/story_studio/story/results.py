"""Results: finished stills, clips, masters, checks, voices, films and sheets, and their file names."""

from __future__ import annotations

import re
from enum import Enum

STORE = "story_studio"
"""The folder of all results, below ComfyUI's output folder; no project may be called so."""
MANIFEST = "manifest.json"
KEY = "[0-9a-f]{24}"
"""A result's key, as a regular expression."""
REPORT_TAG = "story_studio"
"""The tag of an MP4 file that holds what a film or a master says about itself, as JSON."""
FILM_TAG = "story_studio_film"
"""The tag of stills and clips that names the film they were made for."""
CHECK_TAG = "story_studio_check"
"""The keyword of the text in the PNG of a check that holds the figures, as JSON."""


class Kind(Enum):
    """A kind of result.

    Attributes:
        word: what it is called in manifests and messages.
        suffix: of its files.
        node: the class of the node that keeps it; empty for voices, which the driver keeps.
        folder: where its files are, below STORE.
    """

    STILL = "still", ".png", "StoryStudio_Still"
    CLIP = "clip", ".mp4", "StoryStudio_Clip"
    MASTER = "master", ".mp4", "StoryStudio_Master"
    CHECK = "check", ".png", "StoryStudio_CheckClip"
    SHEET = "sheet", ".jpg", "StoryStudio_ContactSheet"
    FILM = "film", ".mp4", "StoryStudio_Film"
    VOICE = "voice", ".wav", ""

    def __init__(self, word: str, suffix: str, node: str):
        self.word, self.suffix, self.node = word, suffix, node
        self.folder = f"{word}s"

    def file_name(self, name: str, key: str) -> str:
        """The name of its file in `folder`; `name` is for people and made safe for a path."""
        safe = re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-")[:64] or self.word
        return f"{safe}.{key}{self.suffix}"

    def project_file(self, scene: str = "") -> str:
        """The name of its file in the folder of a project: of a scene's still, clip, master, check or voice,
        or of the project's only film or contact sheet."""
        return {
            Kind.STILL: f"{scene}_img.png",
            Kind.CLIP: f"{scene}_video.mp4",
            Kind.MASTER: f"{scene}_master.mp4",
            Kind.CHECK: f"{scene}_check.png",
            Kind.VOICE: f"{scene}_voice.wav",
            Kind.SHEET: "storyboard.jpg",
            Kind.FILM: "film.mp4",
        }[self]


RETAKE = "StoryStudio_Retake"
"""The class of the node that keeps a further clip of a scene, which runs only if a check requests it."""
KEEPERS = {kind.node: kind for kind in Kind if kind.node} | {RETAKE: Kind.CLIP}
"""The classes of the nodes that keep results, and the kinds of the results."""


def sheet_file(character: str) -> str:
    """The name of the file of a character's sheet in the folder of a project."""
    return f"{character}_sheet.png"


def key_in(file_name: str) -> str | None:
    """The key in the name of a result's file; None if there is none."""
    found = re.search(rf"\.({KEY})\.[a-z0-9]+$", file_name)
    return found[1] if found else None
