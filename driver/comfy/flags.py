"""The flags that ComfyUI gets: those that fit the machine, of those that the installed ComfyUI has."""

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
"""What is switched off on every machine: each by the first of its names that ComfyUI has, newest first."""

logger = logging.getLogger(__name__)

_WITHOUT_DYNAMIC_VRAM = {"--disable-dynamic-vram", "--highvram", "--gpu-only", "--novram", "--cpu"}
"""A user's flags with which ComfyUI moves whole models, as it did before."""


class ServerError(Exception):
    """ComfyUI cannot be started: a sentence that says what to do, and the end of its log if there is one."""


@dataclass(frozen=True)
class CoreFlags:
    """The flags of one version of ComfyUI.

    Attributes:
        version: ComfyUI's.
        nargs: by flag, how many values it takes, in argparse's words; None if that is not said.
        groups: flags of which at most one may be given.
    """

    version: str
    nargs: dict[str, str | int | None]
    groups: tuple[frozenset[str], ...]

    def resolve(self, name: str) -> str | None:
        """The flag that argparse takes `name` for, which may be an abbreviation; None if there is none.

        Raises:
            ServerError: it is short for several flags.
        """
        if name in self.nargs:
            return name
        found = sorted(flag for flag in self.nargs if flag.startswith(name))
        if len(found) > 1:
            some = f"{' and '.join(found[:3])}{' and more' if len(found) > 3 else ''}"
            raise ServerError(f"{name} is short for {some}: write one of them in full.")
        return found[0] if found else None

    def rivals(self, flag: str) -> frozenset[str]:
        """The flags that `flag` excludes or repeats."""
        return frozenset((flag,)).union(*(group for group in self.groups if flag in group))


def read_core(folder: Path) -> CoreFlags:
    """The flags of the ComfyUI in `folder`, read from the source of its parser, which is not executed.

    Raises:
        ServerError: its parser is not where every ComfyUI so far has it.
    """
    source = folder / "comfy" / "cli_args.py"
    try:
        tree = ast.parse(source.read_bytes())
    except (OSError, SyntaxError, ValueError) as error:
        raise ServerError(f"ComfyUI's flags cannot be read from {source} ({error}): {SET_UP}.") from None
    nargs: dict[str, str | int | None] = {}
    groups: list[set[str]] = []
    # One variable may hold one group after the other.
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
            names = [one.value for one in node.args if isinstance(one, ast.Constant)]
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


def choose_flags(machine: Machine, core: CoreFlags, extra: Sequence[str] = ()) -> list[str]:
    """ComfyUI's flags for this machine, of those that it has.

    Cache: `--cache-lru N` drops whole prompts, oldest first, once more than N results are kept, and never a
    result of the running prompt. So a story's loaders stay, and so do both phases' for a server that
    alternates between stills and clips. Every other cache reads models again:
    - ComfyUI's default up to 0.22 keeps only the nodes of the last prompt.
    - The default after it, `--cache-ram` with two thresholds, gives up what the running prompt does not use
      whenever less memory is free than the second one, by default all memory, so at once. Below the first
      one it gives up loaders of the running prompt too; it spares those of which all outputs are dynamic
      models, which an audio encoder is not. Our nodes ask for their inputs when they need them, so each
      scene would load anew.
    - `--cache-none` would load for every scene.
    N is 4 a GB of RAM (a still's results are 15 MB in 12 nodes, a clip is a file), between 64 and 512.

    Below 64 GB the weights of both phases (44 GB) and a working set do not fit. With dynamic VRAM, which
    newer versions use on NVIDIA's cards, weights stay in their files, and a kept loader takes no memory: LRU
    there too. Elsewhere the RAM cache has to give up models: by its default thresholds where it is the
    default, so that it survives what ComfyUI alone survives; in older versions once less memory is free than
    the largest model needs (18 GB, or half of the RAM). Before 0.35 it measures the machine's memory, not
    the container's, so in a container it would never act: LRU there too.

    Attention: PyTorch's own, and no xformers; on a CPU ComfyUI would take one that holds 0.7 GB of matrices
    for 50 s of sound, where PyTorch's holds none. SageAttention is never chosen: black pictures are reported
    for it with fp8 weights of Wan, which our profiles use. FlashAttention is not either: PyTorch brings the
    same kernel, and ComfyUI's wrapper falls back with a warning at every masked call. Both can be asked for
    with an extra flag.

    Start: api nodes are remote services that a story never uses; their import is a tenth of ComfyUI's start.
    Assets are an index of all models and results, which nothing here asks for; to build it, all files are
    looked at, and by some versions read.

    Compiler: newer versions record how a model allocates memory on a CUDA card, and replay it. Packs whose
    changes of a model keep tensors from one call to the next report that it fails ("aimdo memory compile
    error") or crashes. Talking Video keeps none, but a recipe may bring nodes of any pack; and Wan's video
    model is none of those that are recorded, so little is lost without it.
    """
    dynamic = "--disable-dynamic-vram" in core.nargs and machine.capability > (0, 0)
    dynamic = dynamic and not _WITHOUT_DYNAMIC_VRAM & set(extra)
    pressure_is_default = core.nargs.get("--cache-ram") == "*"
    wanted: list[tuple[str, ...]] = []
    if machine.gpu is None or machine.contained or machine.ram_gb >= 64 or dynamic:
        wanted.append(("--cache-lru", str(int(min(512, max(64, 4 * machine.ram_gb))))))
    elif not pressure_is_default:
        wanted.append(("--cache-ram", str(round(min(18, machine.ram_gb / 2), 1))))
    if wanted and wanted[0][0] not in core.nargs:
        logger.warning(
            "ComfyUI %s has no %s: it may read models again and again.", core.version, wanted[0][0]
        )
    if machine.gpu is None:
        wanted.append(("--cpu",))
    if machine.gpu is None or machine.capability > (0, 0):
        wanted.append(("--use-pytorch-cross-attention",))
    wanted += [(next((name for name in names if name in core.nargs), names[0]),) for names in _SWITCHES]
    return [word for flag in wanted if flag[0] in core.nargs for word in flag]


def merge_flags(chosen: Sequence[str], extra: Sequence[str], core: CoreFlags) -> list[str]:
    """The chosen flags without those that an extra flag excludes, then the extra flags.

    A switch has no opposite in ComfyUI: `--no-disable-xformers` leaves out `--disable-xformers`, and so for
    each that is chosen.

    Raises:
        ServerError: an extra flag is one that ComfyUI does not have, or that the driver sets itself.
    """
    excluded: set[str] = set()
    added: list[str] = []
    for word in extra:
        name = word.partition("=")[0]
        flag = core.resolve(name) if name.startswith("--") else None
        if flag in _OWN_FLAGS:
            raise ServerError(
                f"{name} is not yours to set: the driver sets ComfyUI's {flag} itself. Leave it out."
            )
        if name.startswith("--") and flag is None:
            excluded |= _left_out(name, core)
        else:
            excluded |= core.rivals(flag) if flag else frozenset()
            # ComfyUI would let the one win that switches off.
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
    """The names of the switch that `--no-...` leaves out."""
    for names in _SWITCHES:
        if name in [f"--no-{switch.removeprefix('--')}" for switch in names]:
            return frozenset(names)
    near = difflib.get_close_matches(name, core.nargs, 1)
    hint = f"the nearest is {near[0]}." if near else "leave it out."
    raise ServerError(f"ComfyUI {core.version} has no flag {name}: {hint}")


def _in_order(tree: ast.AST) -> Iterator[ast.Assign | ast.Call]:
    found = [node for node in ast.walk(tree) if isinstance(node, ast.Assign | ast.Call)]
    return iter(sorted(found, key=lambda node: (node.lineno, node.col_offset)))


def _method(node: ast.AST) -> str:
    """What is called of an object, if the expression is such a call."""
    return node.func.attr if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) else ""


def _nargs(call: ast.Call) -> str | int | None:
    for keyword in call.keywords:
        if keyword.arg == "nargs" and isinstance(keyword.value, ast.Constant):
            value = keyword.value.value
            return value if isinstance(value, str | int) else None
    return None
