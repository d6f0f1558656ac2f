"""`python -m tests.benchmarks NAME [--json] [--quick]`: one measurement, one table."""

from __future__ import annotations

import sys
from importlib import import_module

BENCHMARKS = {
    "loads": "how often model files are read from disk, by stories and single jobs",
    "router": "the model router against first in, first out: switches, waits",
    "sizes": "the size of a talking video against the official one: what is cropped of common images",
    "talking_video": "the Talking Video node against the stock S2V chain: time, memory, sync",
    "crash": "a story whose server or command is killed: what is lost, what is rendered twice",
    "rerender": "a story again, changed, reordered: what is made, and the driver's own time",
    "memory": "a story with models of true size in groups of limited memory: peak by phase, survival",
    "story_size": "stories of 10 to 500 scenes: what a scene costs until the first still, in memory, in all",
    "gpu": "steps, chunks, stills, loading and memory on this machine's GPU, with models of true size",
    "worker_life": "a thousand jobs on one worker: memory, descriptors, threads, files on disk",
    "image": "the worker's image, built with buildah: layers, what an edit builds again, a job in it",
    "loudness": "ten recordings of different microphones as one film: LUFS, peaks, ducking, memory",
    "master": "masters of 1 and 10 minutes: time, memory, seams; interpolation without models",
    "film": "finishing a film of one and ten minutes at 1080p against ffmpeg's command line: time, memory",
    "startup": "a worker from its start to its first job, against ComfyUI alone",
}
"""Modules of this package with a function `run(quick) -> Report`, and what they measure."""
OPTIONS = {"--json", "--quick"}


def main(arguments: list[str]) -> int:
    """The command's exit status; the result is on stdout, progress on stderr."""
    options = {argument for argument in arguments if argument.startswith("-")}
    names = [argument for argument in arguments if argument not in options]
    if len(names) != 1 or names[0] not in BENCHMARKS or options - OPTIONS:
        print("Usage: python -m tests.benchmarks NAME [--json] [--quick]", file=sys.stderr)
        for name, what in BENCHMARKS.items():
            print(f"  {name}: {what}", file=sys.stderr)
        return 2
    report = import_module(f"{__package__}.{names[0]}").run(quick="--quick" in options)
    print(report.json() if "--json" in options else report.text())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
