"""What the server tells a page while a node works."""

from __future__ import annotations

import uuid

from driver.comfy.events import EventSocket
from tests.studio import Studio

FRAMES = 1920


def test_a_long_clip_tells_its_progress_in_hundredths(studio: Studio) -> None:
    """A page that is told of every frame falls behind: it shows what was a minute ago, and stops too late."""
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
    told = []
    with EventSocket(studio.url, local=True, client_id="socket") as socket:
        assert socket.connect()
        studio.comfy.submit(graph, str(uuid.uuid4()), "socket")
        while (message := socket.receive(60))["type"] not in ("execution_success", "execution_error"):
            if message["type"] == "progress" and message["data"]["node"] == "clip":
                told.append(message["data"]["value"])
    assert message["type"] == "execution_success", message
    assert told == sorted(set(told)) and told[-1] == 100
