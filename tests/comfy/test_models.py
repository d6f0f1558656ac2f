"""Model files are read into the file cache once."""

from __future__ import annotations

from pathlib import Path

import pytest

from driver.comfy.models import known_models, warm

SNAPSHOT = "huggingface-cache/hub/models--some--name/snapshots/0f1e/split_files"


@pytest.mark.parametrize("below", ["", "models", SNAPSHOT])
def test_warming_reads_the_files_of_a_profile_that_are_there(tmp_path: Path, below: str) -> None:
    needed = [model for model in known_models() if "turbo" in model.needed_by]
    other = next(model for model in known_models() if "turbo" not in model.needed_by)
    for model in [*needed[:2], other]:
        path = tmp_path / below / str(model.folder) / model.file
        path.parent.mkdir(parents=True, exist_ok=True)
        header = b'{"w":{"dtype":"U8","shape":[1000000],"data_offsets":[0,1000000]}}'
        path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(10**6))
    count, gigabytes = warm(tmp_path, "turbo")
    assert count == 2
    assert gigabytes == pytest.approx(0.002, rel=1e-3)
    assert warm(tmp_path, "draft") == (0, 0)
