"""Animatic: a picture that moves slowly for as long as the voice lasts, for drafts that need no model."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from comfy_api.latest import InputImpl, io

from .. import result_store
from ..media import animatic
from ..media.clip_writer import ClipWriter
from ..s2v import audio as sound
from ..s2v import timeline
from .common import CATEGORY, HIDDEN, after_input, area_inputs, progress_bar, temporary


class Animatic(io.ComfyNode):
    """The draft of a talking video: same size, same length, same sound."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="StoryStudio_Animatic",
            display_name="Animatic",
            category=CATEGORY,
            description="Moves slowly over the picture for as long as the recording lasts, marked as a "
            "draft. It needs no model, and has the size and length that Talking Video will have.",
            inputs=[
                io.Audio.Input("audio", tooltip="The recording; the video is as long as it is."),
                io.Image.Input("image", tooltip="The picture; the first one of a batch."),
                *area_inputs(),
                io.Int.Input(
                    "seed",
                    default=0,
                    min=0,
                    max=0xFFFFFFFFFFFFFFFF,
                    control_after_generate=True,
                    tooltip="Another seed moves another way.",
                ),
                after_input(),
            ],
            outputs=[
                io.Video.Output(
                    tooltip="The draft of the clip, with its sound. Link it to a Clip, which keeps it."
                )
            ],
            hidden=HIDDEN,
        )

    @classmethod
    def execute(
        cls, audio: dict[str, Any], image: torch.Tensor, width: int, height: int, seed: int, after: Any = None
    ) -> io.NodeOutput:
        """The clip, as a VIDEO in ComfyUI's folder for temporary files."""
        waveform, rate = sound.waveform(audio), int(audio["sample_rate"])
        frames = timeline.frame_count(waveform.shape[-1], rate)
        size = timeline.fit_size(image.shape[2], image.shape[1], width * height)
        picture = (image[0, :, :, :3].cpu().float().clamp(0, 1) * 255).round().to(torch.uint8).numpy()
        hidden, path, progress = cls.hidden, temporary(".mp4"), progress_bar()
        source = hidden.dynprompt.get_node(hidden.unique_id)["inputs"]["image"][0]
        is_card = result_store.is_draft(hidden.dynprompt, source)
        tags = result_store.workflow_tags(hidden.dynprompt, hidden.unique_id, hidden.extra_pnginfo)
        with ClipWriter(path, *size, waveform.numpy(), rate, timeline.FPS, metadata=tags) as writer:
            for done, frame in enumerate(_frames(picture, size, frames, seed, is_card), start=1):
                writer.write(frame[None])
                progress(done / frames)
        return io.NodeOutput(InputImpl.VideoFromFile(str(path)))


def _frames(
    picture: np.ndarray, size: tuple[int, int], frames: int, seed: int, is_card: bool
) -> Iterator[np.ndarray]:
    """The move over a picture, marked as a draft; a title card bears the mark itself and stays in sight."""
    if is_card:
        yield from animatic.slow_move(picture, *size, frames, seed, animatic.CARD_REACH)
    else:
        yield from map(animatic.label_draft, animatic.slow_move(picture, *size, frames, seed))
