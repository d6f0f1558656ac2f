"""Join Videos: a video, and the one that was made from its last frame."""

from __future__ import annotations

from comfy_api.latest import InputImpl, io

from ..media.footage import read_footage
from ..media.join import join_clips
from ..results import result_store
from .common import CATEGORY, HIDDEN, footage_path, progress_bar, temporary_file


class JoinVideos(io.ComfyNode):
    """Chain these for more than two videos: what was joined before is copied, not encoded again."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="StoryStudio_JoinVideos",
            display_name="Join Videos",
            category=CATEGORY,
            description="Continues a video with another one that starts with its last frame, which is shown "
            "only once. So models that make a few seconds at a time make videos of any length.",
            inputs=[
                io.Video.Input("video", tooltip="The first video, whose size and frame rate the result has."),
                io.Video.Input(
                    "next",
                    tooltip="The video that continues it. Its first frame repeats the last one, and is "
                    "left out.",
                ),
            ],
            outputs=[io.Video.Output(tooltip="Both videos as one.")],
            hidden=HIDDEN,
        )

    @classmethod
    def execute(cls, video: InputImpl.VideoFromFile, next: InputImpl.VideoFromFile) -> io.NodeOutput:
        """Returns both as a VIDEO in ComfyUI's folder for temporary files."""
        first, second = footage_path(video), footage_path(next)
        hidden, path = cls.hidden, temporary_file(".mp4")
        tags = result_store.workflow_tags(hidden.dynprompt, hidden.unique_id, hidden.extra_pnginfo)
        join_clips(path, (first, read_footage(first)), (second, read_footage(second)), tags, progress_bar())
        return io.NodeOutput(InputImpl.VideoFromFile(str(path)))
