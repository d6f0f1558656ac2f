"""ComfyUI's flags for a machine, and what a user may add to them."""

from __future__ import annotations

import importlib

import pytest

from driver.files import COMFYUI
from driver.machine import Machine, ServerError, choose_flags, inspect_machine, merge_flags

LAPTOP = Machine(None, 0, (0, 0), 16, sage=False, flash=False)
DESKTOP = Machine("NVIDIA GeForce RTX 4090", 24, (8, 9), 32, sage=True, flash=True)
STATION = Machine("NVIDIA H200", 139, (9, 0), 128, sage=True, flash=True)
POD = Machine("NVIDIA A40", 48, (8, 6), 48, sage=False, flash=False, contained=True)
RADEON = Machine("AMD GPU", 0, (0, 0), 96, sage=False, flash=False)
MACHINES = [LAPTOP, DESKTOP, STATION, POD, RADEON]


@pytest.mark.parametrize("machine", MACHINES)
def test_comfyui_accepts_the_flags(machine, monkeypatch):
    monkeypatch.syspath_prepend(str(COMFYUI))
    parser = importlib.import_module("comfy.cli_args").parser
    known = parser.parse_args(choose_flags(machine))
    assert known.disable_api_nodes and known.disable_xformers


@pytest.mark.parametrize(
    ("machine", "cache"),
    [
        (LAPTOP, ["--cache-lru", "64"]),
        (DESKTOP, ["--cache-ram", "16.0"]),
        (STATION, ["--cache-lru", "512"]),
        (POD, ["--cache-lru", "192"]),
        (RADEON, ["--cache-lru", "384"]),
    ],
)
def test_cache_fits_the_memory(machine, cache):
    assert choose_flags(machine)[:2] == cache


@pytest.mark.parametrize("machine", MACHINES)
def test_computes_where_it_can(machine):
    flags = choose_flags(machine)
    assert ("--cpu" in flags) == (machine is LAPTOP)
    assert ("--use-pytorch-cross-attention" in flags) == (machine in (LAPTOP, DESKTOP, STATION, POD))


@pytest.mark.parametrize("machine", MACHINES)
def test_never_chooses_a_kernel_that_may_paint_black(machine):
    assert not {"--use-sage-attention", "--use-flash-attention"} & set(choose_flags(machine))


def test_extra_flags_win():
    merged = merge_flags(choose_flags(STATION), ["--use-sage-attention", "--cache-none", "--bf16-vae"])
    assert merged == [
        *("--disable-xformers", "--disable-api-nodes"),
        *("--use-sage-attention", "--cache-none", "--bf16-vae"),
    ]


def test_extra_flag_with_a_value_replaces_the_chosen_one_and_its_value():
    assert merge_flags(["--cache-lru", "64", "--cpu"], ["--cache-lru=7"]) == ["--cpu", "--cache-lru=7"]


@pytest.mark.parametrize(
    "flags",
    [
        ["--listen"],
        ["--listen=0.0.0.0"],
        ["--list", "0.0.0.0"],
        ["--cpu", "--port", "80"],
        ["--base-directory", "/"],
        ["--output-dir", "/"],
    ],
)
def test_refuses_flags_that_the_driver_sets(flags):
    with pytest.raises(ServerError, match="Leave it out"):
        merge_flags([], flags)


def test_inspects_this_machine():
    machine = inspect_machine()
    assert machine.ram_gb > 0
    assert machine.capability == (0, 0) or machine.gpu
