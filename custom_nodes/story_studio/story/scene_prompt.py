"""The prompt of a scene, joined with the style of its story, as the Scene Prompt node makes it."""

from __future__ import annotations

NODE = "StoryStudio_ScenePrompt"


def joined(prompt: str, style: str | None, weights: bool) -> str:
    """The text that an encoder reads.

    Args:
        prompt: as people write it.
        style: what every prompt ends with; None where prompts have no style, so that they stay as written.
        weights: whether parentheses change the weights of words, for encoders that interpret them.
    """
    text = prompt if style is None else ", ".join(filter(None, (prompt.rstrip(". ,"), style)))
    return text if weights else escaped(text)


def escaped(text: str) -> str:
    """Escapes parentheses, which CLIPTextEncode would interpret as weights, as in (words:1.5)."""
    return text.replace("(", "\\(").replace(")", "\\)")
