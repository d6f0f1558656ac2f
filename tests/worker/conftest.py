"""What the tests of jobs share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from driver.worker import policy
from driver.worker.leads import Folders
from story_studio.story.problems import Problem
from tests.studio import Studio
from tests.voices import write_voice
from tests.worker.tools import Judge, Nodes, data_uri


@pytest.fixture
def media(tmp_path: Path) -> dict[str, str]:
    """A voice and an image, as data URIs."""
    Image.effect_noise((64, 64), 80).convert("RGB").save(tmp_path / "face.png")
    voice = write_voice(tmp_path / "voice.wav", 0.5)
    return {"audio": data_uri(voice, "audio/wav"), "image": data_uri(tmp_path / "face.png", "image/png")}


@pytest.fixture
def judge(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> Judge:
    """The problems in a workflow."""

    def judge(
        nodes: Nodes,
        sent: tuple[str, ...] = (),
        allow: str = "",
        key: bool = False,
        folders: Folders | None = None,
        more: dict[str, Any] | None = None,
    ) -> list[Problem]:
        monkeypatch.setenv("WORKFLOW_ALLOW_NODES", allow)
        classes = {**studio.comfy.object_info(), **(more or {})}
        return policy.problems_in(nodes, policy.Job(classes, sent, key, folders))

    return judge
