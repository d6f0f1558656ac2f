"""The nodes and inputs that many parts know by name, each written once."""

from __future__ import annotations

OURS = "StoryStudio_"
"""What the classes of this pack begin with."""
FILM_SCENE = f"{OURS}FilmScene"
STORYBOARD = f"{OURS}Storyboard"
TITLE_CARD = f"{OURS}TitleCard"
"""Shows a prompt as people read it, without the style."""
CHAINS = {FILM_SCENE: "film", STORYBOARD: "storyboard"}
"""The nodes that form chains, and the input that links each to the one before."""
LOAD_AUDIO, LOAD_IMAGE, LOAD_VIDEO = "LoadAudio", "LoadImage", "LoadVideo"
LOADERS = {LOAD_AUDIO: "audio", LOAD_IMAGE: "image", LOAD_VIDEO: "file"}
"""The stock nodes in which files are chosen, and the input that names the file."""
SEEDS = ("seed", "noise_seed")
"""The inputs for a seed; a node has one of them."""
WRITTEN = ("text", "prompt")
"""The inputs for a prompt."""
