"""What an endpoint's owner sets by variables, besides the bucket; most have worker-comfyui's names."""

from __future__ import annotations

import os
import shlex
from typing import NamedTuple

from story_studio.story.problems import Problem, Problems

from ..environment import switch

API_KEY = "COMFY_ORG_API_KEY"
"""The key of Comfy.org for jobs that bring none."""
_FLAGS, _LOG_LEVEL = "COMFY_FLAGS", "COMFY_LOG_LEVEL"
_REFRESH, _HIDE_PROMPTS, _VOLUME_DEBUG = "REFRESH_WORKER", "HIDE_PROMPTS", "NETWORK_VOLUME_DEBUG"
VARIABLES = (API_KEY, _FLAGS, _LOG_LEVEL, _REFRESH, _HIDE_PROMPTS, _VOLUME_DEBUG)
_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


class WorkerSettings(NamedTuple):
    """A worker's settings.

    Attributes:
        refresh_worker: whether RunPod replaces the worker after each job.
        hide_prompts: whether what is stored is to hold neither prompts nor workflows.
        volume_debug: whether each job logs which models are on the volume.
    """

    refresh_worker: bool
    hide_prompts: bool
    volume_debug: bool

    @classmethod
    def from_environment(cls) -> WorkerSettings:
        """The settings of REFRESH_WORKER, HIDE_PROMPTS and NETWORK_VOLUME_DEBUG.

        Raises:
            Problems: one of them is neither true nor false.
        """
        public = bool(os.environ.get("BUCKET_PUBLIC_URL", "").strip())
        return cls(switch(_REFRESH), switch(_HIDE_PROMPTS, public), switch(_VOLUME_DEBUG))


def comfy_flags() -> list[str]:
    """ComfyUI's flags that the environment asks for, those of COMFY_FLAGS last.

    Raises:
        Problems: what is wrong with a variable. Whether ComfyUI has a flag, its start finds out.
    """
    # A job may bring its own key for them, so they are there even without the worker's.
    flags = ["--no-disable-api-nodes"]
    if level := os.environ.get(_LOG_LEVEL, "").strip().upper():
        if level not in _LEVELS:
            what = f"{level!r} is not a level: set one of {', '.join(_LEVELS)}, or unset it."
            raise Problems([Problem(_LOG_LEVEL, what)])
        flags += ["--verbose", level]
    if WorkerSettings.from_environment().hide_prompts:
        flags.append("--disable-metadata")
    try:
        return flags + shlex.split(os.environ.get(_FLAGS, ""))
    except ValueError as error:
        what = f"cannot be split into flags ({error}): write it as on a command line."
        raise Problems([Problem(_FLAGS, what)]) from None
