"""Film Delivery: the size, frame rate and codec of a film."""

from __future__ import annotations

from comfy_api.latest import io

from ..media.delivery import Codec, Delivery, Fit
from ..story.formats import AS_RENDERED, FORMATS, RATES
from .common import CATEGORY

DeliveryType = io.Custom("STORY_STUDIO_DELIVERY")


class FilmDelivery(io.ComfyNode):
    """What a film is made for."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="StoryStudio_FilmDelivery",
            display_name="Film Delivery",
            category=CATEGORY,
            description="Sets the size, frame rate and codec of the film, whatever its clips have. Link it "
            "to a Film.",
            inputs=[
                io.Combo.Input(
                    "format",
                    options=[AS_RENDERED, *FORMATS],
                    default=AS_RENDERED,
                    tooltip="The film's size. As rendered: that of the clips. Clips are enlarged with "
                    "Lanczos.",
                ),
                *(
                    io.Int.Input(
                        side,
                        default=0,
                        min=0,
                        max=4096,
                        step=2,
                        tooltip=f"Another {side} than the format's, in pixels, even. 0: the format's.",
                    )
                    for side in ("width", "height")
                ),
                io.Combo.Input(
                    "fps",
                    options=[AS_RENDERED, *map(str, RATES)],
                    default=AS_RENDERED,
                    tooltip="Frames a second. Frames of clips with another rate are repeated or left out; "
                    "for smooth motion, put a Master between Clip and Film Scene.",
                ),
                io.Combo.Input(
                    "fit",
                    options=["letterbox", "blur"],
                    default="letterbox",
                    tooltip="What surrounds clips of another shape: black bars, or the clip itself, "
                    "enlarged, blurred and darkened.",
                ),
                io.Combo.Input(
                    "codec",
                    options=["h264", "h265", "av1"],
                    default="h264",
                    tooltip="h264 plays everywhere. h265 and av1 make smaller files and take longer.",
                ),
            ],
            outputs=[DeliveryType.Output(display_name="delivery", tooltip="Link it to a Film.")],
        )

    @classmethod
    def execute(cls, format: str, width: int, height: int, fps: str, fit: Fit, codec: Codec) -> io.NodeOutput:
        """Returns the delivery."""
        if bool(width) != bool(height):
            raise ValueError(
                "Only one of `width` and `height` is set: set both, or leave both at 0 for the format's."
            )
        if width % 2 or height % 2 or 0 < min(width, height) < 64:
            raise ValueError(f"A film cannot be {width}x{height}: use even sides of 64 or more.")
        size = (width, height) if width else FORMATS.get(format, (0, 0))
        rate = 0 if fps == AS_RENDERED else int(fps)
        return io.NodeOutput(Delivery(*size, rate, fit, codec))
