"""Rendered stories for exports, each made once."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from story_studio.media.cut import Transition
from tests.export.projects import Project

MakeProject = Callable[..., Project]


@pytest.fixture(scope="session")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """The folder of a rendered story with this rate, join and title; not to be changed."""
    made: dict[tuple[object, ...], Path] = {}

    def render(*arguments: object) -> Path:
        if arguments not in made:
            made[arguments] = tmp_path_factory.mktemp("rendered")
            Project.render(made[arguments], *arguments)  # pyright: ignore[reportArgumentType]
        return made[arguments]

    return render


@pytest.fixture
def make_project(rendered: Callable[..., Path], tmp_path: Path) -> MakeProject:
    """Makes the test's own copy of a rendered story."""

    def make(fps: int = 24, join: Transition = "cut", title: str = "A tale") -> Project:
        shutil.copytree(rendered(fps, join, title), tmp_path, dirs_exist_ok=True)
        return Project(tmp_path)

    return make


@pytest.fixture
def project(make_project: MakeProject) -> Project:
    """A story of 24 frames per second with plain cuts, whose manifest does not say its cut."""
    return make_project()
