"""The nodes of Story Studio, one a file: thin schemas over the code beside them."""

from __future__ import annotations

from comfy_api.latest import ComfyExtension, io

from ..routes import graph, takes
from .animatic import Animatic
from .clip import Clip
from .film import Film, FilmScene
from .s2v_models import S2VModels
from .still import Still
from .storyboard import ContactSheet, Storyboard
from .talking_video import TalkingVideo
from .title_card import TitleCard


class StoryStudio(ComfyExtension):
    """Tells ComfyUI which nodes there are."""

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        # For the storyboard panel. `on_load` would be their place, but ComfyUI 0.3.75 does not call that.
        graph.add_route()
        takes.add_route()
        return [
            S2VModels,
            TalkingVideo,
            Still,
            Clip,
            Storyboard,
            ContactSheet,
            FilmScene,
            Film,
            TitleCard,
            Animatic,
        ]
