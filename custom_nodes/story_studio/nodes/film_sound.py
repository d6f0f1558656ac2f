"""Film Sound: how loud a film is, what is heard between its voices, and its music."""

from __future__ import annotations

from typing import Any

import torch
from comfy_api.latest import io

from ..media.music import Music, checked
from ..media.sound import Sound
from .common import CATEGORY, warn

SoundType = io.Custom("STORY_STUDIO_SOUND")


class FilmSound(io.ComfyNode):
    """Settings that a Film reads; the work is done when the film is made."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="StoryStudio_FilmSound",
            display_name="Film Sound",
            category=CATEGORY,
            description="Brings all voices of a film to one loudness, fills the time between them with the "
            "sound of the room, and plays music beneath them. Link it to a Film.",
            inputs=[
                *_voice_inputs(),
                *_music_inputs(),
            ],
            outputs=[SoundType.Output(display_name="sound", tooltip="Link it to a Film.")],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(
        cls,
        normalize: bool,
        loudness: float,
        room_tone: bool,
        music_level: float,
        music_fade: float,
        duck: bool,
        music: dict[str, Any] | None = None,
    ) -> io.NodeOutput:
        """Returns a `Sound`."""
        bed = None
        if music is not None:
            waveform = music["waveform"].detach().to("cpu", torch.float32).numpy()
            samples, warnings = checked(waveform, rate := int(music["sample_rate"]))
            for text in warnings:
                warn(cls.hidden.unique_id, text)
            bed = Music(samples, rate, music_level, music_fade, duck)
        return io.NodeOutput(Sound(loudness if normalize else None, room_tone, bed))


def _voice_inputs() -> list[io.Input]:
    return [
        io.Boolean.Input(
            "normalize",
            default=True,
            label_on="even loudness",
            label_off="as recorded",
            tooltip="Brings every voice, whatever its microphone, and then the whole film to the loudness "
            "below. Off: the voices stay as they were recorded.",
        ),
        io.Float.Input(
            "loudness",
            default=-16.0,
            min=-30.0,
            max=-10.0,
            step=0.5,
            tooltip="In LUFS. -16 for speech and podcasts, -14 for YouTube and music services, -23 for "
            "television in Europe. Peaks stay below -1 dBTP. No effect with normalize off.",
        ),
        io.Boolean.Input(
            "room_tone",
            default=True,
            tooltip="Between voices, plays soft noise like that in the recordings instead of silence.",
        ),
    ]


def _music_inputs() -> list[io.Input]:
    return [
        io.Float.Input(
            "music_level",
            default=-18.0,
            min=-60.0,
            max=12.0,
            step=1.0,
            tooltip="How loud the music is where nobody speaks, in dB relative to the voices. All music is "
            "brought to this level, however loud its file is.",
        ),
        io.Float.Input(
            "music_fade",
            default=2.0,
            min=0.0,
            max=30.0,
            step=0.5,
            tooltip="Seconds over which the music fades in at the start of the film, and out at its end.",
        ),
        io.Boolean.Input(
            "duck", default=True, tooltip="Lowers the music while somebody speaks, by about 10 dB."
        ),
        io.Audio.Input(
            "music",
            optional=True,
            tooltip="Plays beneath the whole film: a shorter piece is repeated, a longer one is faded out.",
        ),
    ]
