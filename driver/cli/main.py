"""The commands: render, graph, plan, submit, takes, serve, models, doctor."""

from __future__ import annotations

import argparse
import contextlib
import errno
import json
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from story_studio.story import graph, recipes, schema
from story_studio.story.graph import Plan, SceneId
from story_studio.story.problems import Problem, Problems

from .. import terminal
from ..comfy import models
from ..comfy.client import Comfy, ComfyError, Unreachable
from ..comfy.instance import ComfyInstance
from ..comfy.process import Server, ServerError
from ..files import ROOT
from ..rendering import inputs, keys
from ..rendering.progress import PHASES
from ..runpod.estimate import add_command as add_plan
from ..runpod.submit import add_command as add_submit
from . import doctor

if TYPE_CHECKING:
    from ..rendering import dry_run

OK, FAILED, PARTIAL, INTERRUPTED = 0, 1, 3, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command; the result is the exit status: 0 done, 1 failed, 2 wrong usage, 3 partly done."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    end = given.index("--") if "--" in given else len(given)
    options = _parser().parse_args(given[:end], argparse.Namespace(flags=given[end + 1 :]))
    try:
        return options.command(options)
    except Problems as error:
        for problem in error.problems:
            terminal.console.print(str(problem), style="red", markup=False, soft_wrap=True)
        count = len(error.problems)
        terminal.console.print(f"{count} problem{'s' * (count > 1)}; nothing was rendered.", style="bold red")
        return FAILED
    except OSError as error:
        full = error.errno == errno.ENOSPC
        hint = ": the disk is full; free some space and run the same command again. What is finished is kept."
        terminal.console.print(f"{error}{hint if full else ''}", style="red", markup=False, soft_wrap=True)
        return FAILED
    except (ServerError, ComfyError) as error:
        terminal.console.print(str(error), style="red", markup=False, soft_wrap=True)
        return FAILED
    except KeyboardInterrupt:
        terminal.console.print("\nStopped. What is finished is kept: the same command goes on from there.")
        return INTERRUPTED


def _render(options: argparse.Namespace) -> int:
    from ..rendering import dry_run
    from ..rendering.render import RenderError, name_inputs, render, upload

    if options.fresh and options.server:
        what = "works with a server of the command's own: one that runs already keeps results in memory too."
        raise Problems([Problem("--fresh", what)])
    with tempfile.TemporaryDirectory(prefix="story-studio-") as downloads:
        stories, gathered = prepare(options, Path(downloads))
        if options.dry_run or options.fresh:
            named = [
                _plan(one, path, name_inputs(found))
                for (path, one), found in zip(stories, gathered, strict=True)
            ]
            elsewhere = bool(options.server) and not (options.output / keys.STORE).is_dir()
            forecasts = dry_run.forecast(named, gathered, options.output, elsewhere)
            if options.dry_run:
                return _show_forecast(named, forecasts)
            count = dry_run.forget(forecasts, options.output)
            terminal.console.print(f"Forgotten: {count} stills and clips.")
        check_writable(options.output)
        with _host(options) as host:
            plans = [
                _plan(one, path, upload(found, host.comfy))
                for (path, one), found in zip(stories, gathered, strict=True)
            ]
            for warning in (text for plan in plans for text in graph.warnings(plan)):
                terminal.console.print(f"Warning: {warning}", style="yellow", markup=False)
            seconds = {
                SceneId(number, scene): found.recording.seconds
                for number, all_inputs in enumerate(gathered)
                for scene, found in all_inputs.items()
            }
            scenes, films = len(seconds), sum(one.film is not None for _, one in stories)
            try:
                with terminal.progress({"still": scenes, "clip": scenes, "film": films}) as show:
                    manifests = render(plans, seconds, host, options.output, show)
            except RenderError as error:
                terminal.console.print(str(error), style="red", markup=False, soft_wrap=True)
                return FAILED
    return max(_report(manifest, options.output) for manifest in manifests)


def _show_forecast(plans: list[Plan], forecasts: list[dry_run.Forecast]) -> int:
    for plan, found in zip(plans, forecasts, strict=True):
        for step in found.steps:
            what = f"{step.scene} {step.kind}".strip()
            sys.stdout.write(f"{what}: {'reused' if step.reused else f'made, {step.why}'}\n")
        made = [sum(not step.reused for step in found.steps if step.kind == kind) for kind in PHASES]
        sys.stdout.write(
            f"{plan.story.project_id}: {made[0]} stills, {made[1]} clips and {made[2]} film would be made.\n"
        )
    return OK


def check_writable(output: Path) -> None:
    try:
        output.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=output):
            pass
    except OSError as error:
        what = f"{output} cannot be written to ({error.strerror}): give another folder with --output."
        raise Problems([Problem("output", what)]) from None


def _takes(options: argparse.Namespace) -> int:
    from ..rendering import dry_run

    found = dry_run.kept(options.output)
    for one in found:
        used = f"used by {', '.join(one.used_by)}" if one.used_by else "not used"
        size = f"{one.path.stat().st_size / 1e6:.1f} MB"
        parts = (one.kind, one.key, one.path.name.partition(".")[0], size, used, one.about)
        sys.stdout.write("  ".join(filter(None, parts)) + "\n")
    unused = [one.path for one in found if not one.used_by]
    megabytes = sum(path.stat().st_size for path in unused) / 1e6
    if options.prune:
        for path in unused:
            path.unlink(missing_ok=True)
    verb = "removed" if options.prune else "not used by any project's last render: --prune removes them"
    terminal.console.print(f"{len(found)} files; {len(unused)} ({megabytes:.1f} MB) {verb}.")
    return OK


def _report(manifest: dict[str, Any], output: Path) -> int:
    folder = output / manifest["project_id"]
    for scene in manifest["scenes"]:
        if "error" in scene:
            terminal.console.print(f"{scene['id']} failed: {scene['error']}", style="red", markup=False)
    loads, seconds = sum(manifest["model_loads"].values()), terminal.duration(manifest["seconds"]["total"])
    reused = sum(scene.get("clip", {}).get("reused", False) for scene in manifest["scenes"])
    terminal.console.print(
        f"{manifest['project_id']} is {manifest['status']}: {len(manifest['scenes'])} scenes, "
        f"{reused} clips reused, {loads} model files loaded, {seconds}.",
        soft_wrap=True,
    )
    what = folder / manifest["film"]["file"] if manifest["film"] else folder
    sys.stdout.write(f"{what}\n")
    return {"complete": OK, "partial": PARTIAL}.get(manifest["status"], FAILED)


def _graph(options: argparse.Namespace) -> int:
    from ..rendering.render import upload

    with tempfile.TemporaryDirectory(prefix="story-studio-") as downloads:
        stories, gathered = prepare(options, Path(downloads))
        plans = []
        for (path, one), found in zip(stories, gathered, strict=True):
            files = upload(found, Comfy(options.server)) if options.server else _put(found, options.inputs)
            plans.append(_plan(one, path, files))
    for warning in (text for plan in plans for text in graph.warnings(plan)):
        terminal.console.print(f"Warning: {warning}", style="yellow", markup=False)
    sys.stdout.write(json.dumps(graph.build(plans).nodes, indent=2, ensure_ascii=False) + "\n")
    return OK


def _put(found: dict[str, inputs.Inputs], folder: Path) -> dict[str, graph.Files]:
    """Copies a story's recordings and pictures into ComfyUI's input folder."""
    from ..rendering.render import name_inputs

    files = name_inputs(found)
    for scene, one in found.items():
        for file, name in ((one.recording, files[scene].audio), (one.picture, files[scene].image)):
            if file and name:
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file.path, folder / name)
    return files


def _serve(options: argparse.Namespace) -> int:
    with Server(
        options.workspace, options.output, models=options.models, extra_flags=options.flags, port=options.port
    ) as server:
        terminal.console.print(f"ComfyUI with Story Studio: {server.url}  (Ctrl-C stops it)")
        if options.warm:
            threading.Thread(target=_warm, args=(options,), daemon=True).start()
        while server.alive():
            time.sleep(0.5)
        raise _ended(server)


def _pull(options: argparse.Namespace) -> int:
    from ..fetch.pull import pull

    return pull(options.profile, options.models or options.workspace / "models")


def _warm(options: argparse.Namespace) -> None:
    began = time.monotonic()
    count, size = models.warm(options.models or options.workspace / "models", options.warm)
    seconds = terminal.duration(time.monotonic() - began)
    terminal.console.print(f"{count} model files of {options.warm} ({size:.1f} GB) read in {seconds}.")


def _doctor(options: argparse.Namespace) -> int:
    return doctor.main(options.models or options.workspace / "models", options.output)


def prepare(
    options: argparse.Namespace, downloads: Path
) -> tuple[list[tuple[Path, schema.Story]], list[dict[str, inputs.Inputs]]]:
    """Every story and its inputs, or all that is wrong with any of them."""
    stories: list[tuple[Path, schema.Story]] = []
    gathered: list[dict[str, inputs.Inputs]] = []
    problems: list[Problem] = []
    for number, path in enumerate(options.stories):
        try:
            one = schema.load(path)
        except Problems as error:
            problems += error.problems
            continue
        if options.profile:
            one = one.model_copy(update={"profile": options.profile})
        stories.append((path, one))
        folder = downloads / str(number)
        folder.mkdir()
        with _noting(problems, path):
            _plan(one, path, {})
        with _noting(problems, path):
            gathered.append(inputs.gather(one, path.parent, folder))
    ids = [one.project_id for _, one in stories]
    for twice in sorted({name for name in ids if ids.count(name) > 1}):
        problems.append(
            Problem("project_id", f"{twice!r} is used by two stories: they would overwrite each other.")
        )
    if problems:
        raise Problems(problems)
    return stories, gathered


@contextlib.contextmanager
def _noting(problems: list[Problem], path: Path) -> Iterator[None]:
    """Notes the problems of a story's file and goes on, so that all are told at once."""
    try:
        yield
    except Problems as error:
        problems += [Problem(f"{path}: {where}", what) for where, what in error.problems]


def _plan(one: schema.Story, path: Path, files: dict[str, graph.Files]) -> Plan:
    return graph.plan_of(one, files, lambda own, kind: recipes.load_recipe(path.parent / own, kind))


@contextlib.contextmanager
def _host(options: argparse.Namespace) -> Iterator[ComfyInstance]:
    def say(text: str) -> None:
        terminal.console.print(text, style="yellow", markup=False, soft_wrap=True)

    if options.server:
        yield ComfyInstance(Comfy(options.server), say=say)
        return
    with contextlib.ExitStack() as stack:
        with terminal.waiting("Starting ComfyUI"):
            server = stack.enter_context(
                Server(options.workspace, options.output, models=options.models, extra_flags=options.flags)
            )
        try:
            yield ComfyInstance(Comfy(server.url, server.alive), server, say)
        except Unreachable:
            if server.alive():
                raise
            raise _ended(server) from None


def _ended(server: Server) -> ServerError:
    return ServerError(
        f"ComfyUI ended by itself; what is finished is kept. The end of {server.workspace / 'server.log'}:\n"
        f"{server.log_tail(20)}"
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="story-studio",
        description="Turns stories, scenes with a prompt and a voice each, into films.",
        epilog="What stands after -- goes to the ComfyUI server that render and serve start: serve -- "
        "--lowvram. Flags that the driver would choose give way to them; --no-disable-comfy-compiler leaves "
        "out --disable-comfy-compiler, and so for each switch that it chooses.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    render = commands.add_parser("render", help="render stories into films")
    show = commands.add_parser("graph", help="print the graph of stories, for ComfyUI's /prompt")
    add_plan(commands)
    add_submit(commands)
    serve = commands.add_parser("serve", help="run the headless ComfyUI server alone")
    keep = commands.add_parser("takes", help="list the stills, clips and films that are kept")
    actions = commands.add_parser("models", help="the model files")
    fetch = actions.add_subparsers(required=True, metavar="ACTION").add_parser(
        "pull", help="fetch a profile's model files; goes on with what was broken off"
    )
    fetch.add_argument("--profile", required=True, choices=recipes.profile_names(), help="whose files")
    check = commands.add_parser("doctor", help="say what is installed and what is missing")
    for command in (render, show):
        command.add_argument(
            "stories", nargs="+", type=Path, metavar="STORY", help="a YAML or JSON story file"
        )
        command.add_argument(
            "--profile", help=f"{', '.join(recipes.profile_names())}; instead of the story's own"
        )
    render.add_argument("--server", metavar="URL", help="a running ComfyUI, also on another machine")
    once = render.add_mutually_exclusive_group()
    once.add_argument(
        "--dry-run", action="store_true", help="say what would be made, what reused, and why; make nothing"
    )
    once.add_argument(
        "--fresh", action="store_true", help="forget the stories' stills and clips first, and make all anew"
    )
    keep.add_argument(
        "--prune", action="store_true", help="remove what the last render of no project uses, and leftovers"
    )
    place = show.add_mutually_exclusive_group(required=True)
    place.add_argument(
        "--server", metavar="URL", help="a running ComfyUI to give the recordings and pictures to"
    )
    place.add_argument(
        "--inputs", metavar="FOLDER", type=Path, help="ComfyUI's input folder, to put them into"
    )
    for command in (render, keep, serve, check):
        command.add_argument(
            "--output", type=Path, default=Path("output"), help="folder of the results (output)"
        )
    for command in (render, serve, fetch, check):
        command.add_argument(
            "--workspace",
            type=Path,
            default=ROOT / "workspace",
            help="folder of the server's own files",
        )
        command.add_argument(
            "--models", type=Path, help="folder of model files, laid out as ComfyUI's (workspace/models)"
        )
    serve.add_argument("--port", type=int, default=8188, help="port on 127.0.0.1 (8188)")
    serve.add_argument(
        "--warm",
        metavar="PROFILE",
        choices=recipes.profile_names(),
        help="read the profile's model files into the machine's file cache while nothing is asked for yet",
    )
    runs = {render: _render, show: _graph, keep: _takes, serve: _serve, fetch: _pull, check: _doctor}
    for command, run in runs.items():
        command.set_defaults(command=run)
    return parser
