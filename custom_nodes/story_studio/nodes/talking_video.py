"""Talking Video: a picture and a recording become a video of any length."""

from __future__ import annotations

import time
from typing import Any

import torch
from comfy_api.latest import InputImpl, io

from .. import result_store
from ..core import fit, server
from ..core.sampling import make_previewer
from ..media.clip_writer import ClipWriter
from ..s2v import audio as sound
from ..s2v import motion, sampling, timeline
from ..s2v.checks import check_sockets
from .common import CATEGORY, HIDDEN, advanced, after_input, area_inputs, temporary, warn

PRESETS = {"quality": (40, 4.5), "standard": (20, 4.5), "turbo": (4, 1.0)}
"""Steps and cfg. `quality` is official; `turbo` is for the 4-step LoRA."""
UNGUIDED = (
    "cfg 1 is for few-step LoRAs such as lightx2v's. They were not made for S2V: part of their weights does "
    "not fit it, the body moves less, and the negative prompt has no effect."
)


class TalkingVideo(io.ComfyNode):
    """Frames are ceil(16 * seconds of the recording): the picture ends with the sound, within one frame."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="StoryStudio_TalkingVideo",
            display_name="Talking Video (Wan2.2 S2V)",
            category=CATEGORY,
            description="Makes the person in the picture say the recording, however long it is. The video "
            "is made in chunks of five seconds and written to disk as it comes, so memory does not grow "
            "with its length.",
            inputs=[
                io.Model.Input("model", tooltip="Wan2.2 S2V, from Wan2.2 S2V Models."),
                io.Conditioning.Input(
                    "positive", tooltip="What happens in the video, from CLIP Text Encode."
                ),
                io.Conditioning.Input(
                    "negative", tooltip="What to avoid, from CLIP Text Encode; without effect at cfg 1."
                ),
                io.Vae.Input("vae", tooltip="The Wan 2.1 VAE, from Wan2.2 S2V Models."),
                io.AudioEncoder.Input("audio_encoder", tooltip="wav2vec2, from Wan2.2 S2V Models."),
                io.Audio.Input("audio", tooltip="The recording; the video is as long as it is."),
                io.Image.Input("image", tooltip="The picture that talks; the first one of a batch."),
                *area_inputs(),
                io.Int.Input(
                    "steps",
                    default=20,
                    min=1,
                    max=200,
                    tooltip="Used with preset custom. More steps take longer: 40 is the official quality, "
                    "20 a good standard, 4 needs a LoRA.",
                ),
                io.Float.Input(
                    "cfg",
                    default=4.5,
                    min=1.0,
                    max=30.0,
                    step=0.1,
                    tooltip="Used with preset custom. How closely to follow prompt and voice. " + UNGUIDED,
                ),
                io.Int.Input(
                    "seed",
                    default=0,
                    min=0,
                    max=0xFFFFFFFFFFFFFFFF,
                    control_after_generate=True,
                    tooltip="Another seed gives another take.",
                ),
                after_input(),
                io.Combo.Input(
                    "preset",
                    options=["custom", *PRESETS],
                    default="custom",
                    tooltip="custom: the steps and cfg above. quality: the official 40 steps at cfg 4.5. "
                    "standard: 20 steps at cfg 4.5. turbo: 4 steps at cfg 1, with the 4-step LoRA chosen in "
                    "Wan2.2 S2V Models. " + UNGUIDED,
                    optional=True,
                ),
                advanced(
                    io.Combo.Input(
                        "continuity",
                        options=["reencode", "latent"],
                        default="reencode",
                        tooltip="How a chunk goes on from the one before. reencode: the official way, from "
                        "its last 73 pictures; for each chunk of 80 the VAE decodes 39 latents and encodes "
                        "73 pictures. latent: from its last 19 latents; the VAE decodes 20 and encodes "
                        "nothing, and no seam shows in what it decodes, but errors of the latents are "
                        "carried on.",
                        optional=True,
                    )
                ),
                io.Boolean.Input(
                    "start_with_image",
                    default=False,
                    tooltip="The first frame is the picture itself, and the video moves on from it.",
                    optional=True,
                ),
                advanced(
                    io.Float.Input(
                        "crf",
                        default=16.0,
                        min=0.0,
                        max=40.0,
                        step=1.0,
                        tooltip="Compression of the MP4: 16 looks like the original, higher makes smaller "
                        "files.",
                        optional=True,
                    )
                ),
                io.Image.Input(
                    "pose_video",
                    tooltip="Optional. A video of poses, 16 frames a second, that the body follows.",
                    optional=True,
                ),
            ],
            outputs=[
                io.Video.Output(
                    tooltip="The talking video, with the recording as its sound. Link it to a Clip."
                )
            ],
            hidden=HIDDEN,
        )

    @classmethod
    def execute(
        cls,
        model: Any,
        positive: list,
        negative: list,
        vae: Any,
        audio_encoder: Any,
        audio: dict[str, Any],
        image: torch.Tensor,
        width: int,
        height: int,
        steps: int,
        cfg: float,
        seed: int,
        after: Any = None,
        preset: str = "custom",
        continuity: motion.Kind = "reencode",
        start_with_image: bool = False,
        crf: float = 16.0,
        pose_video: torch.Tensor | None = None,
    ) -> io.NodeOutput:
        """The clip, as a VIDEO in ComfyUI's folder for temporary files."""
        fit.require_talking_video()
        check_sockets(model, positive, negative, vae, audio_encoder, audio, image, preset == "turbo")
        steps, cfg = PRESETS.get(preset, (steps, cfg))
        waveform, rate = sound.waveform(audio), int(audio["sample_rate"])
        notes = []
        if sound.is_silent(waveform):
            notes.append("The recording is silent: check that it is the right one.")
        if len(image) > 1:
            notes.append(f"Only the first of {len(image)} pictures is used.")
        for note in notes:
            warn(cls.hidden.unique_id, note)
        frames = timeline.frame_count(waveform.shape[-1], rate)
        size = timeline.fit_size(image.shape[2], image.shape[1], width * height)
        settings = sampling.Settings(steps, cfg, seed, continuity, start_with_image)
        heard = sound.hear(audio_encoder, waveform, rate, frames, settings.lead)
        path = temporary(".mp4")
        pictures = sampling.talk(
            model,
            positive,
            negative,
            vae,
            heard,
            motion.fit_pictures(image[:1], *size),
            frames,
            settings,
            _progress(cls.hidden.unique_id, notes, model, timeline.chunk_count(frames, settings.lead), steps),
            pose_video,
        )
        tags = result_store.workflow_tags(
            cls.hidden.dynprompt, cls.hidden.unique_id, cls.hidden.extra_pnginfo
        )
        tags["comment"] = f"Wan2.2 S2V, {steps} steps, cfg {cfg:g}, seed {seed}, {continuity}." + (
            f" {UNGUIDED}" if cfg == 1 else ""
        )
        with ClipWriter(path, *size, waveform.numpy(), rate, timeline.FPS, crf, tags) as writer:
            for part in pictures:
                writer.write(part)
        return io.NodeOutput(InputImpl.VideoFromFile(str(path)))


def _progress(node_id: str, notes: list[str], model: Any, chunks: int, steps: int) -> sampling.OnStep:
    """One bar over all chunks, each its steps and its decoding; with a preview if the server shows any.

    On the node stands what is being done and, as soon as it can be told, how long the rest takes."""
    each = steps + 1
    move = server.progress_bar(chunks * each)
    previewer = make_previewer(model)
    begun = time.monotonic()

    def show(chunk: int, step: int, denoised: torch.Tensor | None) -> None:
        preview = None
        if previewer is not None and denoised is not None:
            preview = previewer(denoised)
        done = chunk * each + step
        move(done, preview)
        minutes, seconds = divmod(round((time.monotonic() - begun) / done * (chunks * each - done)), 60)
        now = f"step {step} of {steps}" if step <= steps else "written"
        line = f"Chunk {chunk + 1} of {chunks}, {now}, {minutes}:{seconds:02} left"
        server.show_text(node_id, "\n".join([*notes, line]))

    return show
