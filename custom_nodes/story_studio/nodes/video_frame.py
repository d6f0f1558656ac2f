"""Video Frame: one frame of a video as an image."""

from __future__ import annotations

import torch
from comfy_api.latest import InputImpl, io

from ..media.footage import read_footage
from ..media.one_frame import Position, frame_at
from .clip_frames import as_floats
from .common import CATEGORY, video_path


class VideoFrame(io.ComfyNode):
    """Decodes no more of a file than it needs."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="StoryStudio_VideoFrame",
            display_name="Video Frame",
            category=CATEGORY,
            description="The first, middle or last frame of a video as an image: the still of a clip of your "
            "own, or where the next video goes on.",
            inputs=[
                io.Video.Input("video", tooltip="Any video, of any length."),
                io.Combo.Input(
                    "position",
                    options=["first", "middle", "last"],
                    default="middle",
                    tooltip="Which frame of the video.",
                ),
            ],
            outputs=[io.Image.Output(tooltip="The frame, upright, at the video's size.")],
        )

    @classmethod
    def execute(
        cls, video: InputImpl.VideoFromFile | InputImpl.VideoFromComponents, position: Position
    ) -> io.NodeOutput:
        """Returns the frame as an IMAGE [1, height, width, 3]."""
        if isinstance(video, InputImpl.VideoFromComponents):
            return io.NodeOutput(_of_images(video.get_components().images, position))
        path = video_path(video)
        return io.NodeOutput(as_floats(frame_at(path, read_footage(path), position)[None]))


def _of_images(images: torch.Tensor, position: Position) -> torch.Tensor:
    """The frame of a video in memory, which no codec has changed."""
    if not len(images):
        raise ValueError("The video has no frames: check what is linked.")
    number = {"first": 0, "middle": len(images) // 2, "last": len(images) - 1}[position]
    return images[number : number + 1, :, :, :3]
