"""What the tests of this room share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.rendering.recording_files import Maker


@pytest.fixture
def make(tmp_path: Path) -> Maker:
    """Makes recordings of a voice."""
    return Maker(tmp_path)
