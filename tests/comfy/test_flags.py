"""ComfyUI's flags: those chosen for a machine, those of each version, and those that a user adds."""

from __future__ import annotations

import argparse
import importlib
from pathlib import Path

import pytest

from driver.comfy.flags import (
    CoreFlags,
    ServerError,
    choose_flags,
    merge_flags,
    read_core,
    uses_dynamic_vram,
)
from driver.comfy.machine import Machine, inspect_machine
from driver.paths import COMFYUI

LAPTOP = Machine(None, 0, (0, 0), 16, sage=False, flash=False)
DESKTOP = Machine("NVIDIA GeForce RTX 4090", 24, (8, 9), 32, sage=True, flash=True)
STATION = Machine("NVIDIA H200", 139, (9, 0), 128, sage=True, flash=True)
POD = Machine("NVIDIA A40", 48, (8, 6), 48, sage=False, flash=False, contained=True)
RADEON = Machine("AMD GPU", 0, (0, 0), 96, sage=False, flash=False)
ARC = Machine("Intel GPU", 0, (0, 0), 32, sage=False, flash=False)
MACHINES = [LAPTOP, DESKTOP, STATION, POD, RADEON, ARC]

OWN = "--listen --port --base-directory --output-directory --temp-directory --preview-method --bf16-vae"
ALWAYS = f"{OWN} --disable-xformers --disable-api-nodes"
CACHE = "--cache-classic --cache-lru --cache-none --cache-ram"
VRAM = "--cpu --gpu-only --highvram --lowvram --novram"
ATTENTION = (
    "--use-pytorch-cross-attention --use-split-cross-attention --use-quad-cross-attention "
    "--use-sage-attention --use-flash-attention"
)


def recorded(version: str, flags: str, cache: str, vram: str, attention: str, cache_ram: str) -> CoreFlags:
    groups = [group.split() for group in (cache, vram, attention)]
    names = [*flags.split(), *(name for group in groups for name in group)]
    return CoreFlags(
        version, {**dict.fromkeys(names), "--cache-ram": cache_ram}, tuple(map(frozenset, groups))
    )


OLDER = {
    version: recorded(version, f"{ALWAYS} {more}", CACHE, f"{VRAM} --normalvram", ATTENTION, "?")
    for version, more in (
        ("0.3.75", ""),
        ("0.11.0", "--disable-assets-autoscan"),
        ("0.17.0", "--enable-assets --disable-dynamic-vram"),
        ("0.18.1", "--enable-assets --disable-dynamic-vram --enable-dynamic-vram"),
    )
}
NEWER = {
    version: recorded(version, more, f"{CACHE} --high-ram", VRAM, f"{ATTENTION} --use-ck-attention", "*")
    for version, more in (
        ("0.33.0", f"{ALWAYS} --enable-assets --disable-dynamic-vram --debug-hang --list-feature-flags"),
        (
            "0.46.0",
            f"{ALWAYS} --offline --disable-partner-nodes --disable-assets --enable-assets --debug-hang "
            "--disable-dynamic-vram --disable-comfy-compiler --assert-graph-breaks --list-feature-flags",
        ),
    )
}
CORES = OLDER | NEWER
OLDEST, NEWEST = CORES["0.3.75"], CORES["0.46.0"]
SWITCHES = {
    "0.3.75": ["--disable-xformers", "--disable-api-nodes"],
    "0.11.0": ["--disable-xformers", "--disable-api-nodes", "--disable-assets-autoscan"],
    "0.17.0": ["--disable-xformers", "--disable-api-nodes"],
    "0.18.1": ["--disable-xformers", "--disable-api-nodes"],
    "0.33.0": ["--disable-xformers", "--disable-api-nodes"],
    "0.46.0": ["--disable-xformers", "--offline", "--disable-assets", "--disable-comfy-compiler"],
}


def real_parser(monkeypatch: pytest.MonkeyPatch) -> argparse.ArgumentParser:
    monkeypatch.syspath_prepend(str(COMFYUI))
    return importlib.import_module("comfy.cli_args").parser


@pytest.mark.parametrize("machine", MACHINES)
def test_comfyui_accepts_the_flags(machine, monkeypatch):
    known = real_parser(monkeypatch).parse_args(choose_flags(machine, read_core(COMFYUI)))
    assert known.disable_xformers
    assert known.disable_api_nodes or known.offline


def test_reads_what_the_real_parser_has(monkeypatch):
    parser = real_parser(monkeypatch)
    core = read_core(COMFYUI)
    named = {name: action for action in parser._actions for name in action.option_strings}
    assert core.nargs.keys() == named.keys() - {"-h", "--help"}
    assert core.nargs["--cache-ram"] == named["--cache-ram"].nargs
    groups = {
        frozenset(name for action in group._group_actions for name in action.option_strings)
        for group in parser._mutually_exclusive_groups
    }
    assert set(core.groups) == groups
    assert core.version in (COMFYUI / "comfyui_version.py").read_text()


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("core", CORES.values(), ids=CORES)
def test_every_version_has_the_flags_and_excludes_none(machine, core):
    names = [flag for flag in choose_flags(machine, core) if flag.startswith("--")]
    assert set(names) <= core.nargs.keys()
    assert all(len(group & set(names)) <= 1 for group in core.groups)
    assert [name for name in names if not any(name in group for group in core.groups)] == SWITCHES[
        core.version
    ]


@pytest.mark.parametrize("core", CORES.values(), ids=CORES)
@pytest.mark.parametrize(
    ("machine", "entries"),
    [(LAPTOP, "64"), (DESKTOP, "128"), (STATION, "512"), (POD, "192"), (RADEON, "384"), (ARC, "128")],
)
def test_the_cache_grows_with_the_memory(machine, core, entries):
    assert choose_flags(machine, core)[:2] == ["--cache-lru", entries]


@pytest.mark.parametrize("core", CORES.values(), ids=CORES)
@pytest.mark.parametrize("machine", MACHINES)
def test_earlier_prompts_keep_nothing_where_models_do_not_fit_together(machine, core):
    """Unless their weights stay in the files, as with dynamic VRAM, which NVIDIA cards have since 0.17."""
    dynamic = machine.capability > (0, 0) and "--disable-dynamic-vram" in core.nargs
    assert uses_dynamic_vram(machine, core) == dynamic
    flags = choose_flags(machine, core, keeps_models=False)
    assert (flags[1] != "1") == dynamic
    assert choose_flags(machine, core, ["--highvram"], keeps_models=False)[1] == "1"


@pytest.mark.parametrize("core", CORES.values(), ids=CORES)
@pytest.mark.parametrize("machine", MACHINES)
def test_computes_where_it_can(machine, core):
    flags = choose_flags(machine, core)
    assert ("--cpu" in flags) == (machine is LAPTOP)
    assert ("--use-pytorch-cross-attention" in flags) == (machine in (LAPTOP, DESKTOP, STATION, POD))


def test_a_flag_that_a_version_lacks_is_left_out_with_a_warning_if_it_matters(caplog):
    assert choose_flags(STATION, CoreFlags("9.0", {"--disable-xformers": None}, ())) == ["--disable-xformers"]
    assert caplog.messages == ["ComfyUI 9.0 has no --cache-lru: it may load models repeatedly."]
    choose_flags(STATION, NEWEST)
    assert len(caplog.messages) == 1


@pytest.mark.parametrize("core", CORES.values(), ids=CORES)
@pytest.mark.parametrize("machine", MACHINES)
def test_never_chooses_a_kernel_that_may_render_black(machine, core):
    assert not {"--use-sage-attention", "--use-flash-attention"} & set(choose_flags(machine, core))


def test_extra_flags_win():
    merged = merge_flags(
        choose_flags(STATION, OLDEST), ["--use-sage-attention", "--cache-none", "--bf16-vae"], OLDEST
    )
    assert merged == [*SWITCHES["0.3.75"], "--use-sage-attention", "--cache-none", "--bf16-vae"]


def test_exclusive_flags_are_those_of_the_version():
    newest = merge_flags(choose_flags(STATION, NEWEST), ["--high-ram", "--use-ck-attention"], NEWEST)
    assert newest == [*SWITCHES["0.46.0"], "--high-ram", "--use-ck-attention"]
    oldest = merge_flags(["--cpu", "--disable-xformers"], ["--normalvram"], OLDEST)
    assert oldest == ["--disable-xformers", "--normalvram"]


def test_extra_flag_with_a_value_replaces_the_chosen_one_and_its_value():
    chosen = ["--cache-lru", "64", "--cpu"]
    assert merge_flags(chosen, ["--cache-lru=7"], OLDEST) == ["--cpu", "--cache-lru=7"]
    assert merge_flags(chosen, ["--cache-r", "3", "5"], NEWEST) == ["--cpu", "--cache-r", "3", "5"]


@pytest.mark.parametrize(
    ("flag", "left"),
    [
        ("--no-disable-comfy-compiler", ["--disable-xformers", "--offline", "--disable-assets"]),
        ("--no-disable-api-nodes", ["--disable-xformers", "--disable-assets", "--disable-comfy-compiler"]),
    ],
)
def test_a_switch_is_left_out_on_request(flag, left):
    chosen = choose_flags(STATION, NEWEST)
    assert [name for name in merge_flags(chosen, [flag], NEWEST) if name in SWITCHES["0.46.0"]] == left


def test_a_switch_that_is_on_is_not_switched_off():
    merged = merge_flags(choose_flags(STATION, NEWEST), ["--enable-assets"], NEWEST)
    assert "--disable-assets" not in merged and merged[-1] == "--enable-assets"


@pytest.mark.parametrize("flag", ["--disable-dynamic-vram", "--highvram", "--gpu-only", "--novram", "--cpu"])
def test_models_are_moved_whole_with_these_flags(flag):
    assert uses_dynamic_vram(DESKTOP, NEWEST)
    assert not uses_dynamic_vram(DESKTOP, NEWEST, [flag])


def test_leaving_out_an_absent_switch_has_no_effect():
    chosen = choose_flags(STATION, OLDEST)
    assert merge_flags(chosen, ["--no-disable-comfy-compiler"], OLDEST) == chosen


@pytest.mark.parametrize("core", CORES.values(), ids=CORES)
@pytest.mark.parametrize(
    "flags",
    [
        ["--listen"],
        ["--listen=0.0.0.0"],
        ["--liste", "0.0.0.0"],
        ["--cpu", "--port", "80"],
        ["--base-directory", "/"],
        ["--output-dir", "/"],
    ],
)
def test_refuses_flags_that_the_driver_sets(flags, core):
    with pytest.raises(ServerError, match="Leave it out"):
        merge_flags([], flags, core)


@pytest.mark.parametrize(
    ("core", "flag", "said"),
    [
        (OLDEST, "--high-vram", "ComfyUI 0.3.75 has no flag --high-vram: the nearest is --highvram."),
        (NEWEST, "--normalvram", "ComfyUI 0.46.0 has no flag --normalvram: the nearest is --novram."),
        (OLDEST, "--zzz=7", "ComfyUI 0.3.75 has no flag --zzz: leave it out."),
        (NEWEST, "--no-cpu", "ComfyUI 0.46.0 has no flag --no-cpu: the nearest is --cpu."),
        (OLDEST, "--cache-c=3", None),
        (NEWEST, "--cach", "--cach is short for --cache-classic and --cache-lru and .*: write one of them"),
    ],
)
def test_refuses_flags_that_the_version_does_not_have(core, flag, said):
    if said is None:
        assert merge_flags([], [flag], core) == [flag]
    else:
        with pytest.raises(ServerError, match=said):
            merge_flags([], [flag], core)


def write_parser(folder: Path, text: str) -> Path:
    (folder / "comfy").mkdir()
    (folder / "comfy" / "cli_args.py").write_text(text)
    return folder


def test_reads_a_parser_without_running_it(tmp_path):
    folder = write_parser(
        tmp_path,
        "import argparse\n"
        "raise SystemExit('it was run')\n"
        "parser = argparse.ArgumentParser()\n"
        "group = parser.add_mutually_exclusive_group()\n"
        "group.add_argument('--red', action='store_true')\n"
        "if True:\n"
        "    group.add_argument('-g', '--green', '--gruen', nargs='*')\n"
        "group = parser.add_mutually_exclusive_group()\n"
        "group.add_argument('--hot', nargs=2)\n"
        "group.add_argument('--cold')\n"
        "group = parser.add_argument_group('the rest')\n"
        "group.add_argument('--free', help='--not-a-flag')\n",
    )
    core = read_core(folder)
    assert core.nargs == {
        **{"--red": None, "--green": "*", "--gruen": "*", "--hot": 2},
        **{"--cold": None, "--free": None},
    }
    assert set(core.groups) == {frozenset(("--red", "--green", "--gruen")), frozenset(("--hot", "--cold"))}


@pytest.mark.parametrize(("text", "said"), [("def", "cannot be read"), ("", "defines no flags")])
def test_reports_a_parser_that_cannot_be_read(tmp_path, text, said):
    with pytest.raises(ServerError, match=said):
        read_core(write_parser(tmp_path, text))


def test_inspects_this_machine():
    machine = inspect_machine()
    assert machine.ram_gb > 0
    assert machine.capability == (0, 0) or machine.gpu
