"""The memory plan: when the models of stills and clips are read and freed, decided before rendering.

A story's stills and clips are made by different models, each with its own text encoder. Where all of them fit
into memory, they are read once and stay, the clips' models while stills are still being rendered. Where they
do not, the stills' models are freed before the clips' models are read. Where even one phase does not fit, its
text encoder is freed before the other models of the phase are read.

All sizes are in GB (10^9 bytes).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, NamedTuple

Phase = Literal["still", "clip"]

WORKING_GB = 2.5
"""What ComfyUI takes besides models: 1 GB for itself, and latents, frames and copies of single weights."""


class ModelUse(NamedTuple):
    """A model file that a phase needs, and the memory that its weights take."""

    phase: Phase
    file: str
    gb: float
    is_text_encoder: bool = False


@dataclass(frozen=True)
class MemoryPlan:
    """How the models of a story share the memory.

    Attributes:
        all_gb: what is needed if all models stay in memory.
        peak_gb: the most that is needed at once if the plan is followed.
        free_gb: what is free, or held by models that can be freed.
        reread_gb: the size of the models that are read while nothing is rendered.
        keeps_all: models stay in memory, and the clips' models are read ahead. Else the models of one phase
            are freed before those of the other are read.
        keeps_text_encoders: text encoders stay until their phase ends. Else each is freed as soon as the
            prompts of its phase are encoded, before the other models are read.
        careful: an earlier server of this machine was killed because memory ran out.
    """

    all_gb: float
    peak_gb: float
    free_gb: float
    reread_gb: float
    keeps_all: bool
    keeps_text_encoders: bool
    careful: bool = False

    @property
    def fits(self) -> bool:
        """Whether the memory is enough for the plan."""
        return self.peak_gb <= self.free_gb

    def __str__(self) -> str:
        """The plan in one or two sentences."""
        have = f"needs {self.all_gb:.0f} GB, {self.free_gb:.0f} GB are free"
        if self.all_gb == 0:
            return "no models are needed"
        if self.keeps_all:
            return f"{have}: all models stay in memory, and the clips' models are read while stills render"
        text = f"{have}: the stills' models are freed before the clips' models are read"
        if not self.keeps_text_encoders:
            text += ", and each text encoder as soon as its prompts are encoded"
        text += f"; {self.peak_gb:.0f} GB at once"
        if self.reread_gb:
            text += f", one read of {self.reread_gb:.0f} GB is waited for"
        if self.careful:
            text += " (memory ran out here before)"
        if not self.fits:
            text += ". That may not be enough: close other programs, or choose a profile with smaller models"
        return text


def plan_memory(uses: Iterable[ModelUse], free_gb: float, careful: bool = False) -> MemoryPlan:
    """Decides how models share the memory.

    Args:
        uses: the model files that are needed; each counts once in each phase.
        free_gb: the memory that models and ComfyUI's own work may take.
        careful: free as early as possible, whatever `free_gb` is.
    """
    weights = {(use.phase, use.file): use for use in uses}.values()
    phases: list[float] = []
    parts: list[float] = []
    for phase in ("still", "clip"):
        encoders, others = (
            sum(use.gb for use in weights if use.phase == phase and use.is_text_encoder is is_encoder)
            for is_encoder in (True, False)
        )
        phases.append(encoders + others)
        parts.append(max(encoders, others))
    distinct = {use.file: use.gb for use in weights}
    total = sum(distinct.values())
    needs = [needed + WORKING_GB if total else 0.0 for needed in (total, max(phases), max(parts))]
    keeps_all = needs[0] <= free_gb and not careful
    keeps_text_encoders = keeps_all or (needs[1] <= free_gb and not careful)
    return MemoryPlan(
        all_gb=needs[0],
        peak_gb=needs[0] if keeps_all else needs[1] if keeps_text_encoders else needs[2],
        free_gb=free_gb,
        reread_gb=phases[1] if phases[0] and not keeps_all else 0.0,
        keeps_all=keeps_all,
        keeps_text_encoders=keeps_text_encoders,
        careful=careful,
    )
