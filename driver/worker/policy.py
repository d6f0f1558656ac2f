"""What a workflow job may do: the node classes that it may use, and where the texts in it may lead.

All is refused that was not reviewed. `policy.json` holds what was: the classes of every ComfyUI that is
supported, read in their sources.

- `allowed` and `services`, by ComfyUI's module: classes of which no input reaches a file, a program or an
  address, except for the inputs in `paths`; services are paid and need a key.
- `paths`: inputs that name a `file` to read in the input folder, the `prefix` of a file to save in the output
  folder, or a `choice` that reaches a path and that ComfyUI does not check if it is linked.
- `refused`: classes, and why.
"""

from __future__ import annotations

import fnmatch
import json
import os
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from story_studio.story.problems import Problem
from story_studio.story.recipes import is_link

from .leads import Folders, choice_problem, file_problem, prefix_problem, text_problem
from .literals import Literal, declared, describes_file, is_plain, literals_of, may_be_text, strings_in

VARIABLE = "WORKFLOW_ALLOW_NODES"
_OWN_PACK = "custom_nodes.story_studio"
_STOCK = ("nodes", "comfy_extras", "comfy_api_nodes")
_REVIEW = json.loads(Path(__file__).with_name("policy.json").read_text("utf-8"))
_ALLOWED = {name for names in _REVIEW["allowed"].values() for name in names}
_SERVICES = {name for names in _REVIEW["services"].values() for name in names}
_PATHS: dict[str, dict[str, str]] = _REVIEW["paths"]
_REFUSED: dict[str, str] = _REVIEW["refused"]
_KEY = "send comfy_org_api_key with the job, or set COMFY_ORG_API_KEY on the endpoint"

Nodes = Mapping[str, Mapping[str, Any]]
"""A workflow: `class_type`, `inputs` and maybe `_meta` by node id."""


class Job(NamedTuple):
    """What the policy needs to know besides the workflow.

    Attributes:
        classes: ComfyUI's /object_info.
        sent: the names of the files that the job sends, in place of which its nodes get the server's names.
        has_key: whether there is a key for ComfyUI's paid services.
        folders: the server's, if they are on this machine.
    """

    classes: Mapping[str, Any]
    sent: Collection[str]
    has_key: bool
    folders: Folders | None


def is_service(name: str) -> bool:
    """Whether a class, which may not be installed, is a paid service."""
    return name in _SERVICES


def is_reviewed(name: str, module: str) -> bool:
    """Whether the class of a ComfyUI module was reviewed. Another pack's class of the same name was not."""
    ours = module == _OWN_PACK or module.partition(".")[0] in _STOCK
    return ours and (name in _ALLOWED or name in _SERVICES or name in _REFUSED)


def saves_workflow(name: str, module: str) -> bool:
    """Whether a class, which was reviewed, writes the whole workflow into the files that it saves."""
    return is_reviewed(name, module) and "prefix" in _PATHS.get(name, {}).values()


def problems_in(nodes: Nodes, job: Job) -> list[Problem]:
    """Everything in a workflow that a job may not do; links to nodes that do not exist are not reported."""
    problems: list[Problem] = []
    patterns = [word.strip() for word in os.environ.get(VARIABLE, "").split(",") if word.strip()]
    for node_id, node in nodes.items():
        name = node["class_type"]
        known = job.classes.get(name)
        if known is None and not is_service(name):
            continue
        where = f"workflow.{node_id}"
        module = str((known or {}).get("python_module", "nodes" if known is None else ""))
        reviewed, by_owner = is_reviewed(name, module), _allows(patterns, name, module)
        if what := _class_problem(name, module, reviewed, by_owner, known is not None, job):
            problems.append(Problem(f"{where}.class_type", f"{_title(node)}: {what}"))
            continue
        check = _reviewed_input if reviewed and name not in _REFUSED else _unreviewed_input
        for input_name, value in node["inputs"].items():
            what = check(_Input(node, input_name, value, nodes, job))
            if describes_file(value):
                # Some nodes show such an object as if they had saved that file, which is then returned.
                what = "describes a saved file, as only a node that saves it may do: leave `filename` out."
            if what:
                problems.append(Problem(f"{where}.inputs.{input_name}", f"{_title(node)}: {what}"))
    return problems


def _allows(patterns: list[str], name: str, module: str) -> bool:
    """Whether the endpoint's owner allows a class: one that is refused only by its own name."""
    if name in patterns:
        return True
    pack = module.partition(".")[2]
    return name not in _REFUSED and any(
        fnmatch.fnmatchcase(word, pattern) for pattern in patterns for word in (name, pack) if word
    )


def _class_problem(name: str, module: str, reviewed: bool, by_owner: bool, installed: bool, job: Job) -> str:
    allow = f"The endpoint's owner can allow it with {VARIABLE}={name}."
    if reviewed and name in _SERVICES:
        if not job.has_key:
            return f"this node calls a paid service, and there is no key of Comfy.org for it: {_KEY}."
        without = "this node calls a paid service, and this worker runs without such nodes: ask its owner."
        return "" if installed else without
    if by_owner:
        return ""
    if not reviewed:
        pack = module.removeprefix("custom_nodes.") if module.startswith("custom_nodes.") else ""
        whose = f" of the pack {pack}" if pack else ""
        return f"this node{whose} was not reviewed, and a job may use only nodes that were. {allow}"
    return f"a job may not use this node: {_REFUSED[name]}. {allow}" if name in _REFUSED else ""


class _Input(NamedTuple):
    """An input of a node, with what it may be linked to."""

    node: Mapping[str, Any]
    name: str
    value: Any
    nodes: Nodes
    job: Job

    @property
    def declared(self) -> Any:
        """The type and options of the input as its class declares them; None if it does not."""
        known = self.job.classes.get(self.node["class_type"]) or {}
        return declared(known.get("input") or {}, self.name)

    def literals(self) -> list[Literal]:
        """The texts that reach the input."""
        return literals_of(self.value, self.nodes, self.job.classes)

    def problem(self, find: Callable[[str], str]) -> str:
        """What is wrong with any text that reaches this input, which has to be known."""
        for text, replaced, source in self.literals():
            if text is None:
                return (
                    f"is computed by {source}, so where it leads cannot be known before the job runs: write "
                    "the text into the input, or link a node that only holds it."
                )
            if replaced and text.removesuffix(" [input]") in self.job.sent:
                continue
            if what := find(text):
                return f"{what[:-1]} ({text[:80]!r})." if is_link(self.value) else what
        return ""


def _reviewed_input(given: _Input) -> str:
    kind = _PATHS.get(given.node["class_type"], {}).get(given.name)
    if kind == "file":
        return given.problem(lambda text: file_problem(text, given.job.folders))
    if kind == "prefix":
        return given.problem(lambda text: prefix_problem(text, given.job.folders))
    spec = given.declared
    if kind == "choice" and spec is not None:
        choices = _choices(spec)
        unknown = "is not one of its choices: {}.".format(
            ", ".join(map(str, choices[:20])) or "there are none"
        )
        return given.problem(lambda text: "" if text in choices else unknown)
    if spec is None or is_link(given.value):
        # What a class does not declare never reaches it.
        return ""
    if _is_choice(spec):
        return next(filter(None, map(choice_problem, strings_in(given.value))), "")
    if not is_plain(spec[0]) and any(True for _ in strings_in(given.value)):
        return "takes a link to another node, not a text: link it."
    return ""


def _unreviewed_input(given: _Input) -> str:
    """Every text is judged, except what is computed for an input of several lines, which hold prose."""
    spec = given.declared
    options = spec[1] if spec is not None and len(spec) > 1 else {}
    if is_link(given.value):
        if not may_be_text(given.value, given.nodes, given.job.classes):
            return ""
        computed = any(text is None for text, _, _ in given.literals())
        if computed and options.get("multiline"):
            return ""
    return given.problem(lambda text: text_problem(text, given.job.folders))


def _is_choice(spec: Any) -> bool:
    return isinstance(spec[0], list) or spec[0] in ("COMBO", "COMFY_DYNAMICCOMBO_V3")


def _choices(spec: Any) -> list[Any]:
    if spec is None:
        return []
    if isinstance(spec[0], list):
        return spec[0]
    options = (spec[1] if len(spec) > 1 else {}).get("options") or []
    return [option.get("key") if isinstance(option, dict) else option for option in options]


def _title(node: Mapping[str, Any]) -> str:
    """A node's title and class, or its class alone if it has no title of its own."""
    meta, name = node.get("_meta"), node["class_type"]
    title = str(meta.get("title") or name)[:100] if isinstance(meta, dict) else name
    return name if title == name else f"{title} ({name})"
