"""What the server sends to the browser while a node runs."""

from __future__ import annotations

import uuid

from driver.comfy.connection import Connection
from driver.comfy.events import EventSocket
from tests.studio import Studio

FRAMES = 1920


def test_a_long_clip_reports_its_progress_in_hundredths(studio: Studio) -> None:
    """With an update for every frame, the browser falls behind and shows progress from a minute ago."""
    size = {"width": 64, "height": 64, "seed": 0}
    graph = {
        "voice": {
            "class_type": "EmptyAudio",
            "inputs": {"duration": FRAMES / 16, "sample_rate": 16000, "channels": 1},
        },
        "card": {
            "class_type": "StoryStudio_TitleCard",
            "inputs": {"text": "Long", "heading": "", **size},
        },
        "clip": {
            "class_type": "StoryStudio_Animatic",
            "inputs": {"audio": ["voice", 0], "image": ["card", 0], **size},
        },
        "end": {"class_type": "StoryStudio_Clip", "inputs": {"video": ["clip", 0], "name": "long"}},
    }
    values = []
    with EventSocket(Connection(studio.url, {}, lambda: True), "socket") as socket:
        assert socket.connect()
        studio.comfy.submit(graph, str(uuid.uuid4()), "socket")
        ends = ("execution_success", "execution_error")
        # The warning that the audio is silent is no JSON, and read as an empty message.
        while (message := socket.receive(60)).get("type") not in ends:
            if message.get("type") == "progress" and message["data"]["node"] == "clip":
                values.append(message["data"]["value"])
    assert message["type"] == "execution_success", message
    assert values == sorted(set(values)) and values[-1] == 100
