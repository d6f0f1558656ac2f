"""The nodes of Story Studio, one per file: schemas and little code of their own."""

from __future__ import annotations

from comfy_api.latest import ComfyExtension, io

from ..core import prompts
from ..routes import (
    bundle,
    films,
    first_seconds,
    graph,
    memory,
    plan,
    progress,
    runs,
    samples,
    scenes,
    settings,
    story,
    takes,
    voice,
)
from ..runs import continuing
from .animatic import Animatic
from .burned_captions import BurnedCaptions
from .check_clip import CheckClip
from .clip import Clip
from .clip_frames import ClipFrames
from .film import Film
from .film_cards import FilmCards
from .film_delivery import FilmDelivery
from .film_scene import FilmScene
from .film_sound import FilmSound
from .in_order import InOrder
from .join_videos import JoinVideos
from .master import Master
from .master_windows import MasterWindow, MasterWindows
from .own_clip import OwnClip
from .retake import Retake
from .s2v_models import S2VModels
from .scene_prompt import ScenePrompt
from .still import Still
from .storyboard import ContactSheet, Storyboard
from .talking_video import TalkingVideo
from .text_encoder import TextEncoder
from .title_card import TitleCard
from .video_frame import VideoFrame
from .word_times import WordTimesNode

ROUTES = (
    bundle,
    films,
    first_seconds,
    graph,
    memory,
    plan,
    progress,
    runs,
    samples,
    scenes,
    settings,
    story,
    takes,
    voice,
)


class StoryStudio(ComfyExtension):
    """The extension that ComfyUI loads."""

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        # The routes belong in `on_load`, which ComfyUI 0.3.75 does not call.
        for route in ROUTES:
            route.add_route()
        prompts.change_prompts(continuing.order)
        return [
            S2VModels,
            TextEncoder,
            ScenePrompt,
            TalkingVideo,
            Still,
            Clip,
            CheckClip,
            Retake,
            Storyboard,
            ContactSheet,
            FilmScene,
            FilmDelivery,
            FilmCards,
            Film,
            BurnedCaptions,
            FilmSound,
            TitleCard,
            Animatic,
            InOrder,
            ClipFrames,
            Master,
            MasterWindow,
            MasterWindows,
            WordTimesNode,
            OwnClip,
            VideoFrame,
            JoinVideos,
        ]
