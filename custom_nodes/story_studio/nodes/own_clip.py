"""Own Clip: a video that was filmed or made elsewhere, as the clip of a scene."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import InputImpl, io

from ..media.excerpt import excerpt_of
from ..media.footage import read_footage
from ..media.own_clip import Recording, write_own_clip
from ..results import result_store
from ..s2v import audio as s2v_audio
from ..story.clip_graph import OWN_CLIP
from .common import CATEGORY, HIDDEN, after_input, footage_path, progress_bar, temporary_file, warn


class OwnClip(io.ComfyNode):
    """Writes the part that is shown as a file that films, editors and browsers play."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id=OWN_CLIP,
            display_name="Own Clip",
            category=CATEGORY,
            description="Takes a part of a video of your own as the clip of a scene: upright, at a steady "
            "frame rate, with its own sound, another one, or none. It needs no model.",
            inputs=[
                io.Video.Input("video", tooltip="Any video, from Load Video."),
                *(
                    io.Float.Input(name, default=0.0, min=0.0, max=86_400.0, step=0.01, tooltip=tooltip)
                    for name, tooltip in (
                        ("start", "Where the part that is shown starts, in seconds of the video."),
                        ("end", "Where it ends, in seconds of the video. 0: at the video's own end."),
                    )
                ),
                io.Boolean.Input("mute", default=False, tooltip="Leaves the video's own sound out."),
                io.Audio.Input(
                    "audio",
                    optional=True,
                    tooltip="Is heard instead of the video's own sound. Without start and end, the clip is "
                    "as long as this audio; otherwise at least that long, and its last frame is held.",
                ),
                after_input(),
            ],
            outputs=[io.Video.Output(tooltip="The clip. Link it to a Clip, which saves it.")],
            hidden=HIDDEN,
        )

    @classmethod
    def execute(
        cls,
        video: InputImpl.VideoFromFile,
        start: float,
        end: float,
        mute: bool,
        audio: dict[str, Any] | None = None,
        after: Any = None,
    ) -> io.NodeOutput:
        """Returns the part as a VIDEO in ComfyUI's folder for temporary files."""
        source, path = footage_path(video), temporary_file(".mp4")
        footage = read_footage(source)
        excerpt, warning = excerpt_of(footage, start, end)
        warnings, sound, frames = [warning] if warning else [], None, excerpt.frames
        if audio is not None:
            on_purpose = result_store.is_silent_on_purpose(cls.hidden.dynprompt, cls.hidden.unique_id)
            voice = s2v_audio.read_voice(audio, on_purpose)
            warnings += voice.warnings
            sound = Recording(voice.samples.numpy(), voice.sample_rate)
            covering = sound.frames(excerpt.fps)
            frames = max(frames, covering) if start or end else covering
        hidden = cls.hidden
        if warnings:
            warn(hidden.unique_id, " ".join(warnings))
        tags = result_store.workflow_tags(hidden.dynprompt, hidden.unique_id, hidden.extra_pnginfo)
        write_own_clip(path, source, footage, excerpt, frames, sound, mute, tags, progress_bar())
        return io.NodeOutput(InputImpl.VideoFromFile(str(path)))
