"""`recipes`: lists the shipped recipes, checks recipes, and tries one on tiny inputs."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from story_studio.story.links import title_of
from story_studio.story.model_files import is_model_file
from story_studio.story.problems import Problem, Problems
from story_studio.story.recipe_faults import inspect_recipe
from story_studio.story.recipe_kinds import KINDS, kind_of
from story_studio.story.recipes import FOLDER, Recipe, profile_names, read_recipe, recipes_of, shipped_recipe

from .. import terminal
from ..comfy.client import Comfy
from ..comfy.connection import headers_from_environment
from ..comfy.models import ModelFile, listed_models, locate
from ..comfy.process import Server
from ..comfy.recipe_check import check_nodes
from ..rendering.recipe_try import INPUTS, try_recipe
from ..terminal import FAILED, OK
from .arguments import add_output, add_server, models_folder

OUTCOME = "tried"


def add_arguments(command: argparse.ArgumentParser) -> None:
    """The arguments of `recipes`."""
    add_server(command)
    command.set_defaults(json=False)
    actions = command.add_subparsers(dest="action", metavar="ACTION")
    listing = actions.add_parser("list", help="the shipped recipes, their parameters and model files")
    listing.add_argument("--json", action="store_true", help="as JSON")
    add_server(listing)
    check = actions.add_parser("check", help="say what is wrong with recipes")
    check.add_argument(
        "files", nargs="+", type=Path, metavar="FILE", help="a recipe, or a shipped one's name"
    )
    trial = actions.add_parser("try", help="run a recipe on tiny inputs")
    trial.add_argument("files", nargs=1, type=Path, metavar="FILE", help="a recipe, or a shipped one's name")
    add_output(trial)
    for action in (check, trial):
        action.add_argument("--kind", choices=KINDS, help="instead of the one that its end tells")
        action.add_argument("--server", metavar="URL", help="a running ComfyUI; without it, one is started")
        add_server(action)
    check.add_argument("--no-server", action="store_true", help="check only the file, not its nodes")


def run(options: argparse.Namespace) -> int:
    """Lists, checks or tries; returns the exit status."""
    if options.action in (None, "list"):
        return _list(options)
    return _check(options) if options.action == "check" else _try(options)


def _list(options: argparse.Namespace) -> int:
    used: dict[str, list[str]] = {}
    for profile in profile_names():
        for name in recipes_of(profile):
            used.setdefault(name, []).append(profile)
    models = models_folder(options)
    entries = []
    for path in sorted(FOLDER.glob("*_*.json")):
        text = path.read_text(encoding="utf-8")
        kind = kind_of(json.loads(text)) or ""
        recipe = read_recipe(text, kind, path.name)
        files = [_file(models, file) for file in _files(recipe)]
        entries.append(
            {
                "recipe": path.name,
                "kind": kind,
                "profiles": used.get(path.stem, []),
                "parameters": list(recipe.parameters),
                "models": files,
            }
        )
    if options.json:
        sys.stdout.write(json.dumps(entries, indent=2, ensure_ascii=False) + "\n")
        return OK
    for entry in entries:
        profiles = ", ".join(entry["profiles"]) or "no profile"
        sys.stdout.write(f"{entry['recipe']}: {entry['kind']}, used by {profiles}\n")
        sys.stdout.write(f"    {' '.join(f'${name}' for name in entry['parameters'])}\n")
        for file in entry["models"]:
            size = f", {file['gb']:.3g} GB" if file["gb"] else ""
            state = "there" if file["present"] else "missing"
            sys.stdout.write(f"    {file['folder'] or '...'}/{file['file']}{size}, {state}\n")
    return OK


def _files(recipe: Recipe) -> Iterator[str]:
    """The model files that a recipe names, each once; a profile may name others."""
    values = (value for node in recipe.ordered() for value in recipe.nodes[node]["inputs"].values())
    yield from dict.fromkeys(filter(is_model_file, values))


def _file(models: Path, file: str) -> dict[str, Any]:
    known = next((model for model in listed_models() if model.file == file), None)
    model = known or ModelFile(file, None, None, None)
    present = locate(models, model) is not None
    return {"file": file, "folder": model.folder, "gb": model.gb, "url": model.url, "present": present}


def _check(options: argparse.Namespace) -> int:
    if options.no_server:
        counts = [_report(path, options.kind, None) for path in options.files]
        terminal.say("Not checked without a server: classes, inputs and values of nodes, and model files.")
    else:
        with _comfy(options) as comfy:
            counts = [_report(path, options.kind, comfy) for path in options.files]
    return FAILED if any(counts) else OK


def _report(path: Path, kind: str | None, comfy: Comfy | None) -> int:
    """Prints what is wrong with one recipe; returns the number of its faults."""
    try:
        text, kind = _read(path, kind)
    except Problems as error:
        # The others are still to be checked.
        sys.stdout.write(f"{error}\n")
        return len(error.problems)
    found = inspect_recipe(text, kind)
    faults = list(found.faults)
    if comfy:
        replaced = {node for name, node in found.parameters.items() if name in KINDS[kind].parameters}
        faults += check_nodes(found.nodes, comfy.object_info(), replaced)
    sys.stdout.write(f"{path.name}: {kind}, {len(faults) or 'no'} fault{'s' * (len(faults) != 1)}\n")
    for word, sentences in (("fault", faults), ("hint", found.hints)):
        for sentence in sentences:
            sys.stdout.write(f"    {word}: {sentence}\n")
    return len(faults)


def _read(path: Path, kind: str | None) -> tuple[str, str]:
    """The text of a recipe, and its kind. Raises Problems if it cannot be read."""
    if not path.is_file():
        path = shipped_recipe(path.name) or shipped_recipe(f"{path.name}.json") or path
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise Problems([Problem(str(path), f"cannot be read as a workflow: {error}")]) from None
    return text, kind or _kind(text) or next(
        (kind for kind in KINDS if path.stem.endswith(f"_{kind}")), "still"
    )


def _kind(text: str) -> str | None:
    try:
        nodes = json.loads(text)
        return kind_of({node_id: node for node_id, node in nodes.items() if isinstance(node["inputs"], dict)})
    except (ValueError, RecursionError, AttributeError, KeyError, TypeError):
        return None


def _try(options: argparse.Namespace) -> int:
    (path,) = options.files
    text, kind = _read(path, options.kind)
    recipe = read_recipe(text, kind, path.name)
    title = f"${KINDS[kind].end}"
    (end,) = (
        node_id
        for node_id, node in recipe.nodes.items()
        if title_of(node) == title and list(recipe.result) in node["inputs"].values()
    )
    target = options.output / "recipes" / path.stem
    target.parent.mkdir(parents=True, exist_ok=True)
    with _comfy(options) as comfy:
        if faults := check_nodes(recipe.nodes, comfy.object_info(), recipe.parameters.values()):
            raise Problems(Problem(path.name, fault) for fault in faults)
        tried = try_recipe(recipe, end, comfy, target)
    sys.stdout.write(f"{tried.path}: {tried.size / 1000:.1f} kB in {tried.seconds:.1f} s\n")
    return OK


@contextmanager
def _comfy(options: argparse.Namespace) -> Iterator[Comfy]:
    """A running server, or one of the command's own, whose files of the trial are gone afterwards."""
    if options.server:
        yield Comfy(options.server, headers=headers_from_environment())
        return
    with ExitStack() as stack:
        output = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="story-studio-")))
        with terminal.waiting("Starting ComfyUI"):
            server = stack.enter_context(
                Server(options.workspace, output, models=models_folder(options), extra_flags=options.flags)
            )
        yield Comfy(server.url, server.alive)
        for name in INPUTS:
            (options.workspace / "input" / "story_studio" / name).unlink(missing_ok=True)
