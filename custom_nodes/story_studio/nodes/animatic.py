"""Animatic: a slow camera move over an image, as long as the audio, for drafts that need no model."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from comfy_api.latest import InputImpl, io

from ..media import animatic
from ..media.clip_writer import ClipWriter
from ..results import result_store
from ..s2v import audio as s2v_audio
from ..s2v import timeline
from .common import (
    CATEGORY,
    HIDDEN,
    after_input,
    area_inputs,
    progress_bar,
    seed_input,
    temporary_file,
    warn,
)


class Animatic(io.ComfyNode):
    """The draft of a talking video, with the same size, length and audio."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="StoryStudio_Animatic",
            display_name="Animatic",
            category=CATEGORY,
            description="Moves the camera slowly over an image for the length of the audio, and marks the "
            "video as a draft, unless it is the finished clip. It needs no model, and has the size and "
            "length that Talking Video will have.",
            inputs=[
                io.Audio.Input("audio", tooltip="The voice recording; the video has the same length."),
                io.Image.Input("image", tooltip="The image; of a batch, the first one."),
                *area_inputs(),
                seed_input("Another seed moves the camera in another way."),
                after_input(),
                io.Boolean.Input(
                    "draft",
                    default=True,
                    optional=True,
                    tooltip="Marks the video as a draft. Turn it off where this is the finished clip, as of "
                    "a narrated scene: there is no mark then, and the camera never rests, however long it "
                    "is.",
                ),
            ],
            outputs=[io.Video.Output(tooltip="The clip, with its audio. Link it to a Clip, which saves it.")],
            hidden=HIDDEN,
        )

    @classmethod
    def execute(
        cls,
        audio: dict[str, Any],
        image: torch.Tensor,
        width: int,
        height: int,
        seed: int,
        after: Any = None,
        draft: bool = True,
    ) -> io.NodeOutput:
        """Renders the clip; returns it as a VIDEO in ComfyUI's folder for temporary files."""
        on_purpose = result_store.is_silent_on_purpose(cls.hidden.dynprompt, cls.hidden.unique_id)
        voice = s2v_audio.read_voice(audio, on_purpose)
        for warning in voice.warnings:
            warn(cls.hidden.unique_id, warning)
        waveform, rate = voice.samples, voice.sample_rate
        frames = timeline.frame_count(waveform.shape[-1], rate)
        size = timeline.fit_size(image.shape[2], image.shape[1], width * height)
        pixels = (image[0, :, :, :3].cpu().float().clamp(0, 1) * 255).round().to(torch.uint8).numpy()
        hidden, path, progress = cls.hidden, temporary_file(".mp4"), progress_bar()
        source = hidden.dynprompt.get_node(hidden.unique_id)["inputs"]["image"][0]
        is_card = result_store.is_draft(hidden.dynprompt, source)
        tags = result_store.workflow_tags(hidden.dynprompt, hidden.unique_id, hidden.extra_pnginfo)
        with ClipWriter(path, *size, waveform.numpy(), rate, timeline.FPS, metadata=tags) as writer:
            shown = _frames(pixels, size, frames, seed, is_card, draft)
            for done, frame in enumerate(shown, start=1):
                writer.write(frame[None])
                progress(done / frames)
        return io.NodeOutput(InputImpl.VideoFromFile(str(path)))


def _frames(
    pixels: np.ndarray, size: tuple[int, int], frames: int, seed: int, is_card: bool, draft: bool
) -> Iterator[np.ndarray]:
    """The frames of the move, marked as a draft; a card has its own mark, and its text stays visible."""
    if not draft:
        zoom = {"zoom": animatic.CARD_ZOOM} if is_card else {}
        yield from animatic.drifting_move(pixels, *size, frames, timeline.FPS, seed, **zoom)
    elif is_card:
        yield from animatic.slow_move(pixels, *size, frames, seed, animatic.CARD_ZOOM)
    else:
        yield from map(animatic.label_draft, animatic.slow_move(pixels, *size, frames, seed))
