"""How a run of all tests is split."""

from __future__ import annotations

import pytest

from driver.paths import ROOT
from tests.processes import LONGEST_FIRST


@pytest.mark.parametrize("name", LONGEST_FIRST)
def test_what_comes_first_is_there(name: str) -> None:
    assert (ROOT / name).exists()
