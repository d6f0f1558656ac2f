"""The nodes and inputs that many parts know by name, each written once."""

from __future__ import annotations

FILM_SCENE = "StoryStudio_FilmScene"
STORYBOARD = "StoryStudio_Storyboard"
CHAINS = {FILM_SCENE: "film", STORYBOARD: "storyboard"}
"""The nodes that form chains, and the input that links each to the one before."""
LOAD_AUDIO, LOAD_IMAGE, LOAD_VIDEO = "LoadAudio", "LoadImage", "LoadVideo"
LOADERS = {LOAD_AUDIO: "audio", LOAD_IMAGE: "image", LOAD_VIDEO: "file"}
"""The stock nodes in which files are chosen, and the input that names the file."""
SEEDS = ("seed", "noise_seed")
"""The inputs for a seed; a node has one of them."""
WRITTEN = ("text", "prompt")
"""The inputs for a prompt."""
