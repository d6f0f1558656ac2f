"""ComfyUI's command-line flags: chosen for the machine, from those that the installed ComfyUI has."""

from __future__ import annotations

import ast
import difflib
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from story_studio.core.contracts import version

from ..paths import SET_UP
from .machine import Machine

_OWN_FLAGS = ("--listen", "--port", "--base-directory", "--output-directory", "--temp-directory")
_SWITCHES = (
    ("--disable-xformers",),
    ("--offline", "--disable-api-nodes"),
    ("--disable-assets", "--disable-assets-autoscan"),
    ("--disable-comfy-compiler",),
)
"""Switched off on every machine, each by the first of its names that ComfyUI has; newest first."""

logger = logging.getLogger(__name__)

_WITHOUT_DYNAMIC_VRAM = {"--disable-dynamic-vram", "--highvram", "--gpu-only", "--novram", "--cpu"}
"""A user's flags with which ComfyUI moves whole models, as it did before dynamic VRAM."""


class ServerError(Exception):
    """ComfyUI cannot be started. The message says what to do, and has the end of its log if there is one."""


@dataclass(frozen=True)
class CoreFlags:
    """The flags of one version of ComfyUI.

    Attributes:
        version: ComfyUI's.
        nargs: each flag's argparse `nargs`; None if it has none.
        groups: flags that exclude each other.
    """

    version: str
    nargs: dict[str, str | int | None]
    groups: tuple[frozenset[str], ...]

    def resolve(self, name: str) -> str | None:
        """The flag that argparse reads `name` as, which may be an abbreviation; None if there is none.

        Raises:
            ServerError: it abbreviates several flags.
        """
        if name in self.nargs:
            return name
        matches = sorted(flag for flag in self.nargs if flag.startswith(name))
        if len(matches) > 1:
            some = f"{' and '.join(matches[:3])}{' and more' if len(matches) > 3 else ''}"
            raise ServerError(f"{name} is short for {some}: write one of them in full.")
        return matches[0] if matches else None

    def rivals(self, flag: str) -> frozenset[str]:
        """The flag itself, and those that it excludes."""
        return frozenset((flag,)).union(*(group for group in self.groups if flag in group))


def read_core(folder: Path) -> CoreFlags:
    """The flags of the ComfyUI in `folder`, read from the source of its parser without running it.

    Raises:
        ServerError: the parser is not where every ComfyUI so far has it.
    """
    source = folder / "comfy" / "cli_args.py"
    try:
        tree = ast.parse(source.read_bytes())
    except (OSError, SyntaxError, ValueError) as error:
        raise ServerError(f"ComfyUI's flags cannot be read from {source} ({error}): {SET_UP}.") from None
    nargs: dict[str, str | int | None] = {}
    groups: list[set[str]] = []
    # The same variable may hold several groups in turn.
    open_groups: dict[str, set[str]] = {}
    for node in _in_order(tree):
        if isinstance(node, ast.Assign):
            exclusive = _method(node.value) == "add_mutually_exclusive_group"
            for target in node.targets:
                if isinstance(target, ast.Name):
                    open_groups.pop(target.id, None)
                    if exclusive:
                        groups.append(open_groups.setdefault(target.id, set()))
        elif _method(node) == "add_argument":
            names = [argument.value for argument in node.args if isinstance(argument, ast.Constant)]
            flags = [name for name in names if isinstance(name, str) and name.startswith("--")]
            nargs |= dict.fromkeys(flags, _nargs(node))
            owner = node.func.value if isinstance(node.func, ast.Attribute) else None
            if isinstance(owner, ast.Name) and owner.id in open_groups:
                open_groups[owner.id].update(flags)
    if not nargs:
        raise ServerError(
            f"{source} defines no flags that can be read: set up ComfyUI 0.3.75 or a newer release."
        )
    return CoreFlags(version(folder), nargs, tuple(map(frozenset, groups)))


def uses_dynamic_vram(machine: Machine, core: CoreFlags, extra: Sequence[str] = ()) -> bool:
    """Whether ComfyUI leaves weights in their files until they are used, so that they take no memory."""
    can = "--disable-dynamic-vram" in core.nargs and machine.capability > (0, 0)
    return can and not _WITHOUT_DYNAMIC_VRAM & set(extra)


def choose_flags(
    machine: Machine, core: CoreFlags, extra: Sequence[str] = (), keeps_models: bool = True
) -> list[str]:
    """The flags for this machine, of those that the installed ComfyUI has.

    Args:
        machine: this machine.
        core: the installed ComfyUI.
        extra: the user's flags.
        keeps_models: whether the models of stills and clips may be in memory together.

    Cache: `--cache-lru N` drops whole prompts, oldest first, once it holds more than N results, but never a
    result of the running prompt. So a story's loaders stay, and on a server that alternates between stills
    and clips, those of both. With every other cache, models are loaded again:
    - ComfyUI's default up to 0.22 keeps only the nodes of the last prompt.
    - Its later default, `--cache-ram` with two thresholds, drops what the running prompt does not use when
      less memory is free than the second threshold, which by default is all memory: so at once. Below the
      first threshold it also drops loaders of the running prompt, except those whose outputs are all dynamic
      models, which an audio encoder is not. Our nodes request their inputs lazily, so every scene would load
      its models again.
    - `--cache-none` would load them for every scene.
    N is 4 per GB of RAM (a still's results are 15 MB in 12 nodes, a clip is a file), between 64 and 512, or 1
    where the models of stills and clips do not fit together: then nothing of earlier prompts stays. What of
    the running prompt is no longer needed, the nodes free themselves (`story_studio/memory.py`), which no
    cache of ComfyUI does without dropping loaders that are still in use. With dynamic VRAM, which newer
    versions use on NVIDIA cards, weights stay in their files and a cached loader takes no memory.

    Attention: PyTorch's, and no xformers. On a CPU ComfyUI would choose one that allocates 0.7 GB of matrices
    for 50 s of audio, where PyTorch's allocates none. SageAttention is never chosen: black frames have been
    reported with the fp8 weights of Wan, which our profiles use. Nor is FlashAttention: PyTorch includes the
    same kernel, and ComfyUI's wrapper falls back with a warning at every masked call. An extra flag selects
    either.

    Start: API nodes are remote services that a story never uses, and importing them is a tenth of ComfyUI's
    start. Assets are an index of all models and results that nothing here uses; to build it, ComfyUI visits
    every file, and some versions read it.

    Compiler: newer versions record how a model allocates memory on a CUDA card, and replay it. Packs whose
    patches keep tensors from one call to the next report failures ("aimdo memory compile error") or crashes.
    Talking Video keeps none, but a recipe may use nodes of any pack; and Wan's video model is not among those
    that are recorded, so little is lost.
    """
    keeps_models = keeps_models or uses_dynamic_vram(machine, core, extra)
    entries = int(min(512, max(64, 4 * machine.ram_gb))) if keeps_models else 1
    wanted: list[tuple[str, ...]] = [("--cache-lru", str(entries))]
    if "--cache-lru" not in core.nargs:
        logger.warning("ComfyUI %s has no --cache-lru: it may load models repeatedly.", core.version)
    if machine.gpu is None:
        wanted.append(("--cpu",))
    if machine.gpu is None or machine.capability > (0, 0):
        wanted.append(("--use-pytorch-cross-attention",))
    wanted += [(next((name for name in names if name in core.nargs), names[0]),) for names in _SWITCHES]
    return [word for flag in wanted if flag[0] in core.nargs for word in flag]


def merge_flags(chosen: Sequence[str], extra: Sequence[str], core: CoreFlags) -> list[str]:
    """The chosen flags, except those that an extra flag excludes, followed by the extra flags.

    ComfyUI's switches have no opposites: `--no-disable-xformers` leaves out `--disable-xformers`, and so for
    every switch that is chosen.

    Raises:
        ServerError: ComfyUI does not have an extra flag, or the driver sets it.
    """
    excluded: set[str] = set()
    added: list[str] = []
    for word in extra:
        name = word.partition("=")[0]
        flag = core.resolve(name) if name.startswith("--") else None
        if flag in _OWN_FLAGS:
            raise ServerError(
                f"{name} cannot be set, because the driver sets ComfyUI's {flag}. Leave it out."
            )
        if name.startswith("--") and flag is None:
            excluded |= _left_out(name, core)
        else:
            excluded |= core.rivals(flag) if flag else frozenset()
            # Of both, ComfyUI would obey the one that switches off.
            excluded.add(f"--disable-{flag.removeprefix('--enable-')}" if flag else "")
            added.append(word)
    kept: list[str] = []
    keep = True
    for word in chosen:
        keep = word not in excluded if word.startswith("--") else keep
        if keep:
            kept.append(word)
    return [*kept, *added]


def _left_out(name: str, core: CoreFlags) -> frozenset[str]:
    """All names of the switch that `--no-...` leaves out."""
    for names in _SWITCHES:
        if name in [f"--no-{switch.removeprefix('--')}" for switch in names]:
            return frozenset(names)
    near = difflib.get_close_matches(name, core.nargs, 1)
    hint = f"the nearest is {near[0]}." if near else "leave it out."
    raise ServerError(f"ComfyUI {core.version} has no flag {name}: {hint}")


def _in_order(tree: ast.AST) -> Iterator[ast.Assign | ast.Call]:
    nodes = [node for node in ast.walk(tree) if isinstance(node, ast.Assign | ast.Call)]
    return iter(sorted(nodes, key=lambda node: (node.lineno, node.col_offset)))


def _method(node: ast.AST) -> str:
    """The name of the method that an expression calls; empty if it calls none."""
    return node.func.attr if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) else ""


def _nargs(call: ast.Call) -> str | int | None:
    for keyword in call.keywords:
        if keyword.arg == "nargs" and isinstance(keyword.value, ast.Constant):
            value = keyword.value.value
            return value if isinstance(value, str | int) else None
    return None
