"""Talking Video: an image and a voice recording become a video of any length."""

from __future__ import annotations

import time
from typing import Any

import torch
from comfy_api.latest import InputImpl, io

from .. import memory
from ..core import fit, server
from ..core.sampling import make_previewer
from ..media.clip_writer import ClipWriter
from ..results import result_store
from ..s2v import audio as s2v_audio
from ..s2v import motion, pose, sampling, timeline
from ..s2v.checks import check_inputs
from ..story.needed import TALKING_VIDEO_MODELS
from ..story.recipes import is_link
from .common import (
    CATEGORY,
    HIDDEN,
    advanced,
    after_input,
    area_inputs,
    seed_input,
    temporary_file,
    warn,
)

PRESETS = {"quality": (40, 4.5), "standard": (20, 4.5), "turbo": (4, 1.0)}
"""Steps and cfg. `quality` has the official ones; `turbo` is for the 4-step LoRA."""
_EARLIER = ("image", "after")
"""What is made before the models are needed."""
UNGUIDED = (
    "cfg 1 is for few-step LoRAs such as lightx2v's. They were not made for S2V: some of their weights do "
    "not fit it, the body moves less, and the negative prompt has no effect."
)


class TalkingVideo(io.ComfyNode):
    """The clip has ceil(16 * seconds of audio) frames, so it ends with the audio to within one frame."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="StoryStudio_TalkingVideo",
            display_name="Talking Video (Wan2.2 S2V)",
            category=CATEGORY,
            description="Makes the person in the image speak the recording, whatever its length. The video "
            "is rendered in chunks of five seconds and written to disk as it is decoded, so memory does not "
            "grow with its length.",
            inputs=[
                *_model_inputs(),
                io.Audio.Input("audio", tooltip="The voice recording; the video has the same length."),
                io.Image.Input(
                    "image", lazy=True, tooltip="The person who speaks; of a batch, the first image."
                ),
                *area_inputs(),
                *_sampling_inputs(),
                after_input(lazy=True),
                *_optional_inputs(),
            ],
            outputs=[
                io.Video.Output(tooltip="The talking video, with the recording as audio. Link it to a Clip.")
            ],
            hidden=HIDDEN,
        )

    @classmethod
    def check_lazy_status(cls, **inputs: Any) -> list[str]:
        """Requests all inputs at once if the models of the whole graph fit into memory, so that they are read
        while earlier nodes run. If not, requests the models when everything else is there."""
        graph = cls.hidden.dynprompt
        linked = graph.get_node(cls.hidden.unique_id)["inputs"]
        missing = [
            name
            for name in (*TALKING_VIDEO_MODELS, *_EARLIER)
            if is_link(linked.get(name)) and inputs.get(name) is None
        ]
        earlier = [name for name in missing if name in _EARLIER]
        if memory.prepare(graph).keeps_all or not missing:
            return missing
        if not earlier:
            memory.make_room(graph, "clip")
        return earlier or missing

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
        """Renders the clip; returns it as a VIDEO in ComfyUI's folder for temporary files."""
        fit.require_talking_video()
        check_inputs(
            model, positive, negative, vae, audio_encoder, audio, image, preset == "turbo", pose_video
        )
        steps, cfg = PRESETS.get(preset, (steps, cfg))
        settings = sampling.Settings(steps, cfg, seed, continuity, start_with_image)
        voice = s2v_audio.read_voice(audio)
        waveform, rate = voice.samples, voice.sample_rate
        frames = timeline.frame_count(waveform.shape[-1], rate)
        size = timeline.fit_size(image.shape[2], image.shape[1], width * height)
        warnings = [*s2v_audio.warnings_of(voice), *_warnings(image, size)]
        warnings += pose.describe(pose_video, frames, size) if pose_video is not None else []
        for warning in warnings:
            warn(cls.hidden.unique_id, warning)
        chunks = timeline.chunk_count(frames, settings.lead_in)
        progress = _Progress(cls.hidden.unique_id, warnings, model, chunks, steps)
        clip = sampling.sample_clip(
            model,
            positive,
            negative,
            vae,
            s2v_audio.encode_audio(audio_encoder, waveform, rate, frames, settings.lead_in),
            motion.fit_images(image[:1], *size),
            frames,
            settings,
            progress.step,
            pose_video,
            progress.state,
        )
        path = temporary_file(".mp4")
        with ClipWriter(
            path, *size, waveform.numpy(), rate, timeline.FPS, crf, cls._tags(settings)
        ) as writer:
            for part in clip:
                writer.write(part)
            progress.state(chunks - 1, "writing the video")
        return io.NodeOutput(InputImpl.VideoFromFile(str(path)))

    @classmethod
    def _tags(cls, settings: sampling.Settings) -> dict[str, str]:
        hidden = cls.hidden
        tags = result_store.workflow_tags(hidden.dynprompt, hidden.unique_id, hidden.extra_pnginfo)
        tags["comment"] = (
            f"Wan2.2 S2V, {settings.steps} steps, cfg {settings.cfg:g}, seed {settings.seed}, "
            f"{settings.continuity}." + (f" {UNGUIDED}" if settings.cfg == 1 else "")
        )
        return tags


def _model_inputs() -> list[io.Input]:
    return [
        io.Model.Input("model", lazy=True, tooltip="Wan2.2 S2V, from Wan2.2 S2V Models."),
        io.Conditioning.Input(
            "positive", lazy=True, tooltip="What happens in the video, from CLIP Text Encode."
        ),
        io.Conditioning.Input(
            "negative", lazy=True, tooltip="What to avoid, from CLIP Text Encode; no effect at cfg 1."
        ),
        io.Vae.Input("vae", lazy=True, tooltip="The Wan 2.1 VAE, from Wan2.2 S2V Models."),
        io.AudioEncoder.Input("audio_encoder", lazy=True, tooltip="wav2vec2, from Wan2.2 S2V Models."),
    ]


def _sampling_inputs() -> list[io.Input]:
    return [
        io.Int.Input(
            "steps",
            default=20,
            min=1,
            max=200,
            tooltip="Used with preset custom. More steps take longer: 40 is the official setting, 20 a good "
            "standard, 4 needs a LoRA.",
        ),
        io.Float.Input(
            "cfg",
            default=4.5,
            min=1.0,
            max=30.0,
            step=0.1,
            tooltip="Used with preset custom. How closely to follow prompt and voice. " + UNGUIDED,
        ),
        seed_input("Another seed gives another take."),
    ]


def _optional_inputs() -> list[io.Input]:
    return [
        io.Combo.Input(
            "preset",
            options=["custom", *PRESETS],
            default="custom",
            tooltip="custom: the steps and cfg above. quality: the official 40 steps at cfg 4.5. standard: "
            "20 steps at cfg 4.5. turbo: 4 steps at cfg 1, with the 4-step LoRA chosen in Wan2.2 S2V "
            "Models. " + UNGUIDED,
            optional=True,
        ),
        advanced(
            io.Combo.Input(
                "continuity",
                options=["reencode", "latent"],
                default="reencode",
                tooltip="How a chunk continues the previous one. reencode: from its last 73 frames, as in "
                "the official code; the VAE encodes them again, which nearly doubles its work. latent: from "
                "its last 19 latents; the VAE encodes nothing, and the decoded frames have no seam, but "
                "errors in the latents accumulate.",
                optional=True,
            )
        ),
        io.Boolean.Input(
            "start_with_image",
            default=False,
            tooltip="The first frame is the image itself, and the video continues from it.",
            optional=True,
        ),
        advanced(
            io.Float.Input(
                "crf",
                default=16.0,
                min=0.0,
                max=40.0,
                step=1.0,
                tooltip="Compression of the MP4: 16 is visually lossless, higher makes smaller files.",
                optional=True,
            )
        ),
        io.Image.Input(
            "pose_video",
            tooltip="Optional. Frames of poses, 16 a second, that the body follows, from the start of the "
            "recording. They are scaled and cropped to the size of the video. After the last one the poses "
            "are black, as in the official code, and the body moves freely; frames after the end of the "
            "recording are not used.",
            optional=True,
        ),
    ]


def _warnings(image: torch.Tensor, size: tuple[int, int]) -> list[str]:
    warnings = [f"Only the first of {len(image)} images is used."] if len(image) > 1 else []
    crop = timeline.cropped(image.shape[2], image.shape[1], *size)
    if crop > timeline.NOTICED_CROP:
        warnings.append(
            f"The image is {image.shape[2]}x{image.shape[1]}, the video {size[0]}x{size[1]}: "
            f"{float(crop):.0%} of the image is cropped. A larger or less narrow image is cropped less."
        )
    return warnings


class _Progress:
    """Shows one progress bar for all chunks, with previews if they are enabled.

    A chunk counts as its steps plus one for decoding. The node also shows the warnings, the chunk, what is
    done for it, and the estimated time left.
    """

    def __init__(self, node_id: str, warnings: list[str], model: Any, chunks: int, steps: int) -> None:
        self._node, self._warnings, self._chunks, self._steps = node_id, warnings, chunks, steps
        self._total, self._done = chunks * (steps + 1), 0
        self._move = server.progress_bar(self._total)
        self._previewer = make_previewer(model)
        self._started = time.monotonic()

    def step(self, chunk: int, step: int, denoised: torch.Tensor | None) -> None:
        """Shows that a step is done: see `sampling.OnStep`."""
        preview = None
        if self._previewer is not None and denoised is not None:
            preview = self._previewer(denoised)
        self._done = chunk * (self._steps + 1) + step
        self._move(self._done, preview)
        self.state(chunk, f"step {step} of {self._steps}" if step <= self._steps else "written")

    def state(self, chunk: int, state: str) -> None:
        """Shows what is done for a chunk besides steps: see `sampling.OnState`."""
        line = f"Chunk {chunk + 1} of {self._chunks}, {state}"
        if self._done:
            spent = time.monotonic() - self._started
            minutes, seconds = divmod(round(spent / self._done * (self._total - self._done)), 60)
            line += f", {minutes}:{seconds:02} left"
        server.show_text(self._node, "\n".join([*self._warnings, line]))
