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
CAREFUL = "STORY_STUDIO_CAREFUL"
"""The environment variable that the driver sets for a server after memory ran out."""

WORKING_GB = 3.0
"""What ComfyUI takes besides models: 1 GB for itself, and latents, frames and copies of single weights."""


class ModelUse(NamedTuple):
    """A model file that a phase needs, and the memory that its weights take."""

    phase: Phase
    file: str
    gb: float
    is_text_encoder: bool = False


class Needs(NamedTuple):
    """The memory that is needed at once, depending on what stays in it: 0 without models.

    Attributes:
        all: with all models.
        phase: with the models of one phase at a time.
        part: with a phase's text encoder or its other models at a time.
    """

    all: float
    phase: float
    part: float


@dataclass(frozen=True)
class MemoryPlan:
    """How the models of a story share the memory.

    Attributes:
        needs: the memory that is needed at once.
        free_gb: what is free, or held by models that can be freed.
        waits_for_gb: the size of the clips' models, which are read while nothing is rendered if the stills'
            models are freed first; 0 unless both phases have models.
        careful: free models as early as possible, because memory ran out on this machine before.
    """

    needs: Needs
    free_gb: float
    waits_for_gb: float
    careful: bool = False

    @property
    def keeps_all(self) -> bool:
        """Whether all models stay in memory, so that those of clips are read ahead, while stills render."""
        return not self.needs.all or (self.needs.all <= self.free_gb and not self.careful)

    @property
    def keeps_text_encoders(self) -> bool:
        """Whether text encoders stay until their phase ends. If not, each is freed as soon as the prompts of
        its phase are encoded, before the other models are read."""
        return self.keeps_all or (self.needs.phase <= self.free_gb and not self.careful)

    @property
    def peak_gb(self) -> float:
        """The most that is needed at once."""
        if self.keeps_all:
            return self.needs.all
        return self.needs.phase if self.keeps_text_encoders else self.needs.part

    @property
    def fits(self) -> bool:
        """Whether the memory is enough."""
        return self.peak_gb <= self.free_gb

    @property
    def need(self) -> str:
        """What is needed and what is there."""
        if not self.needs.all:
            return "no model has to be in memory"
        return f"needs {self.needs.all:.0f} GB, {self.free_gb:.0f} GB are free"

    @property
    def strategy(self) -> list[str]:
        """What is done about it, in clauses."""
        if self.keeps_all:
            return ["all models stay in memory"] if self.needs.all else []
        clauses = []
        if self.careful:
            clauses.append("memory ran out here before, so models are freed as early as possible")
        if self.waits_for_gb:
            clauses.append("the stills' models are freed before the clips' models are read")
            clauses.append(f"one read of {self.waits_for_gb:.0f} GB is waited for")
        if not self.keeps_text_encoders:
            clauses.append("each text encoder is freed once its prompts are encoded")
        clauses.append(f"{self.peak_gb:.0f} GB at once")
        if not self.fits:
            clauses.append(
                "which may not be enough: close other programs, or use a profile with smaller models"
            )
        return clauses

    def __str__(self) -> str:
        """The plan in one sentence, without the full stop."""
        return f"{self.need}: {', '.join(self.strategy)}" if self.strategy else self.need


def plan_memory(uses: Iterable[ModelUse], free_gb: float, careful: bool = False) -> MemoryPlan:
    """The memory plan for some models; a file counts once in each phase.

    Args:
        uses: the model files that are needed.
        free_gb: the memory that models and ComfyUI's own work may take.
        careful: as in `MemoryPlan`.
    """
    weights = {(use.phase, use.file): use for use in uses}.values()
    still, clip = (
        [
            sum(use.gb for use in weights if use.phase == phase and use.is_text_encoder is is_encoder)
            for is_encoder in (True, False)
        ]
        for phase in ("still", "clip")
    )
    total = sum({use.file: use.gb for use in weights}.values())
    together = (total, max(sum(still), sum(clip)), max(*still, *clip))
    return MemoryPlan(
        Needs(*(gb + WORKING_GB if gb else 0.0 for gb in together)),
        free_gb,
        sum(clip) if sum(still) else 0.0,
        careful,
    )
