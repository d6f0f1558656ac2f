"""Check Clip: measures a clip, and requests retakes while it fails."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
import torch
from comfy_api.latest import io

from ..checks.check import Check, check_clip
from ..checks.figures import Figures
from ..checks.verdict import judged_by, rank
from ..core import execution, folders, server
from ..results import result_store
from ..runs import finished
from ..story.failures import FULL
from ..story.keys import RETAKES
from ..story.recipes import is_link
from ..story.results import Kind, key_in
from ..story.scenes import Workflow, seed_of
from .common import (
    CATEGORY,
    HIDDEN,
    footage_path,
    name_input,
    progress_bar,
    result_ui,
    warn_on_running_node,
)

_files: WeakKeyDictionary[Any, Path] = WeakKeyDictionary()
"""Files of VIDEOs. One in memory is saved for its check, which asks for the file several times."""


class _Take(NamedTuple):
    """A clip that was checked.

    Attributes:
        video: the clip as it is linked.
        path: its file; None where it has none and could not be saved.
        check: what is wrong with it. Without a sheet it could not be checked.
        seed: that it was made with; None if its graph names none.
        reused: whether the clip was found, and not made.
    """

    video: Any
    path: Path | None
    check: Check
    seed: float | None
    reused: bool

    @property
    def key(self) -> str | None:
        """The key of the clip; None if it is no result."""
        return key_in(self.path.name) if self.path else None

    @property
    def is_checked(self) -> bool:
        return self.check.sheet is not None

    @property
    def fails(self) -> bool:
        return self.check.verdict == "fail"

    @property
    def needs_retake(self) -> bool:
        """Whether it fails in a way that another seed can help."""
        return self.fails and any(finding.retake for finding in self.check.findings)

    @property
    def reasons(self) -> list[str]:
        """Why it was made again, fails or was not checked; what is only noticed if it is none of these."""
        if not self.is_checked:
            return self.check.figures.missing
        found = self.check.findings
        return [one.text for one in found if one.level == ("fail" if self.fails else "warn")]

    def json(self) -> dict[str, Any]:
        about = {"seed": self.seed, "verdict": self.check.verdict, "reasons": self.reasons}
        about |= {"needs_retake": self.needs_retake, "check": self.check.key, "reused": self.reused}
        return {"key": self.key, **about}


class CheckClip(io.ComfyNode):
    """Passes on the first take that does not fail, or the best of those that do."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id=Kind.CHECK.node,
            display_name="Check Clip",
            category=CATEGORY,
            description="Measures a clip on the CPU: whether lips follow the voice, whether the face stays, "
            "frozen or black frames, flicker, drifting colours, jumps between chunks, and the voice. The "
            "worst moments are saved as an image in output/story_studio/checks. A clip that was checked "
            "before is not measured again.",
            inputs=[
                io.Video.Input("clip", tooltip="From a Clip."),
                name_input("check"),
                io.Boolean.Input(
                    "talking",
                    default=True,
                    tooltip="Whether somebody speaks on screen. Off: face and lips are not measured.",
                ),
                io.Image.Input(
                    "reference",
                    optional=True,
                    tooltip="The image that the clip starts from. The face is compared with the one in it; "
                    "without it, with that of the first second.",
                ),
                *(
                    io.Video.Input(
                        name,
                        optional=True,
                        lazy=True,
                        tooltip="From a Retake: made only if the takes before it fail in a way that another "
                        "seed can help.",
                    )
                    for name in RETAKES
                ),
            ],
            outputs=[
                io.Video.Output(
                    display_name="clip",
                    tooltip="The first take that does not fail, or the best of all. Link it to a Film Scene.",
                ),
                io.String.Output(display_name="verdict", tooltip="pass, warn or fail."),
                io.String.Output(
                    display_name="report", tooltip="The verdict, its reasons and all figures, as JSON."
                ),
            ],
            hidden=HIDDEN,
            is_output_node=True,
        )

    @classmethod
    def fingerprint_inputs(cls, **constants: Any) -> str:
        """Other limits may choose another take."""
        return judged_by()

    @classmethod
    def check_lazy_status(
        cls, clip: Any, name: str, talking: bool, reference: torch.Tensor | None = None, **retakes: Any
    ) -> list[str]:
        """Requests the next retake while all takes before it fail in a way that another seed can help."""
        linked = cls._linked()
        if not linked:
            return []
        takes = cls._check({"clip": clip, **retakes}, name, talking, reference)
        missing = [place for place in linked if retakes.get(place) is None]
        if not missing or not takes[-1].needs_retake:
            return []
        # Whoever queued the prompt sees why the clip is made again while it is.
        server.send_executed(cls.hidden.unique_id, {"check": [_shown(takes, takes[-1])]})
        return missing[:1]

    @classmethod
    def execute(
        cls,
        clip: Any,
        name: str,
        talking: bool,
        reference: torch.Tensor | None = None,
        **retakes: Any,
    ) -> io.NodeOutput:
        """Returns the chosen take, its verdict and its report."""
        takes = cls._check({"clip": clip, **retakes}, name, talking, reference)
        chosen = choose(takes)
        warnings = [*_sentences(takes, chosen)]
        if warnings:
            warn_on_running_node(" ".join(warnings))
        report = chosen.check.model_dump_json()
        return io.NodeOutput(chosen.video, chosen.check.verdict, report, ui=_ui(takes, chosen, warnings))

    @classmethod
    def _linked(cls) -> list[str]:
        """The retakes that are linked, which may be any of them; none if the clip is a take that is used."""
        graph = cls.hidden.dynprompt
        inputs = graph.get_node(cls.hidden.unique_id)["inputs"]
        if _is_chosen(graph, inputs["clip"]):
            return []
        return [place for place in RETAKES if is_link(inputs.get(place))]

    @classmethod
    def _check(
        cls, videos: dict[str, Any], name: str, talking: bool, reference: torch.Tensor | None
    ) -> list[_Take]:
        """Checks the takes that are there, up to the first that needs no other."""
        graph, takes = cls.hidden.dynprompt, list[_Take]()
        inputs = graph.get_node(cls.hidden.unique_id)["inputs"]
        image = None if reference is None else _pixels(reference)
        for place in ("clip", *cls._linked()):
            video = videos.get(place)
            if video is None or (takes and not takes[-1].needs_retake):
                break
            path, check = _checked(video, name, talking, image)
            seed, reused = _seed_of(graph, inputs[place]), _is_reused(inputs[place])
            takes.append(_Take(video, path, check, seed, reused))
        return takes


def _is_chosen(graph: result_store.Graph, link: Any) -> bool:
    """Whether a clip is a take that is chosen, and holds: it stays, however it does in its check."""
    if not is_link(link) or graph.get_node(link[0])["class_type"] != Kind.CLIP.node:
        return False
    return result_store.keys_of(graph.get_node).holds(link[0])


def _checked(video: Any, name: str, talking: bool, reference: np.ndarray | None) -> tuple[Path | None, Check]:
    """The file of a clip and its check.

    A check that fails costs no finished clip: whatever the reason, it becomes a warning. Only a full disk
    ends the run, because what comes after needs it too.
    """
    path = None
    try:
        path = _file_of(video)
        store = result_store.folder_of(Kind.CHECK)
        return path, check_clip(
            path, store, name=name, talking=talking, reference=reference, on_progress=progress_bar()
        )
    except server.Interrupted:
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno in FULL:
            raise
        logging.exception("%s: the clip cannot be checked", name)
        reason = str(error).rstrip(".") or type(error).__name__
        why = f"{name} could not be checked and is passed on as it is ({reason})."
        figures = Figures(talking=talking, missing=[why])
        return path, Check(key="", verdict="warn", findings=[], figures=figures)


def _file_of(video: Any) -> Path:
    path = _files.get(video)
    if path is None or not path.is_file():
        path = _files[video] = footage_path(video)
    return path


def choose(takes: Sequence[_Take]) -> _Take:
    """The first take that does not fail, else the one with the fewest and smallest failures. One that could
    not be checked is chosen only if all could not."""
    checked = [take for take in takes if take.is_checked] or takes
    passing = next((take for take in checked if not take.fails), None)
    return passing or min(checked, key=lambda take: rank(take.check.findings))


def _pixels(image: torch.Tensor) -> np.ndarray:
    return (image[0, :, :, :3].cpu().float().clamp(0, 1) * 255).round().to(torch.uint8).numpy()


def _seed_of(graph: result_store.Graph, link: Any) -> float | None:
    if not is_link(link):
        return None
    workflow = Workflow(result_store.upstream(graph, link[0]))
    place = seed_of(workflow, link[0])
    return workflow.number(workflow.nodes[place.id]["inputs"][place.input]) if place else None


def _is_reused(link: Any) -> bool:
    shown = finished.outputs(execution.prompt_id()).get(link[0], {}) if is_link(link) else {}
    # What has not run in this prompt was there before.
    return all(about["reused"] for about in shown.get("checkpoint", []))


def _sentences(takes: Sequence[_Take], chosen: _Take) -> list[str]:
    """What is wrong with the clip that is kept, and why others were made."""
    made_again = [f"Made again: {', '.join(take.reasons)}." for take in takes[:-1]]
    if len(takes) > 1:
        made_again.append(f"Take {takes.index(chosen) + 1} of {len(takes)} is kept.")
    wrong = [f"The clip fails: {', '.join(chosen.reasons)}."] if chosen.fails else []
    if chosen.is_checked and not chosen.fails and chosen.reasons:
        wrong = [f"Noticed: {', '.join(chosen.reasons)}."]
    unchecked = [text for take in takes if not take.is_checked for text in take.check.figures.missing]
    missing = chosen.check.figures.missing if chosen.is_checked else []
    return [*made_again, *wrong, *unchecked, *missing]


def _ui(takes: Sequence[_Take], chosen: _Take, warnings: Sequence[str]) -> dict[str, Any]:
    check = chosen.check
    more = {"check": [_shown(takes, chosen)]}
    if chosen.path and chosen.path.is_relative_to(folders.output()):
        more["clip"] = [{**result_store.item(chosen.path), "key": chosen.key, "reused": chosen.reused}]
    if check.sheet is None:
        return {**more, "warnings": [*warnings]}
    return result_ui(check.sheet, check.key, check.reused, warnings=warnings, more=more)


def _shown(takes: Sequence[_Take], chosen: _Take) -> dict[str, Any]:
    return {
        **chosen.check.model_dump(mode="json"),
        "reused": chosen.check.reused,
        "kept": chosen.key,
        "takes": [take.json() for take in takes],
    }
