"""`python -m tests.benchmarks NAME [--json] [--quick]`: one measurement, one table."""

from __future__ import annotations

import argparse
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
    "panel": "workflows of 50 and 500 scenes on the canvas: queueing them, and what the panel asks",
    "gpu": "steps, chunks, stills, loading and memory on this machine's GPU, with models of true size",
    "worker_life": "a thousand jobs on one worker: memory, descriptors, threads, files on disk",
    "image": "the worker's image, built with buildah: layers, what an edit builds again, a job in it",
    "loudness": "ten recordings of different microphones as one film: LUFS, peaks, ducking, memory",
    "word_times": "words timed without a speech model, against synthesised voices whose times are known",
    "master": "masters of 1 and 10 minutes: time, memory, seams; interpolation without models",
    "film": "finishing a film of one and ten minutes at 1080p against ffmpeg's command line: time, memory",
    "checks": "faults made into talking clips: found, missed, false alarms; the cost of a check; see --help",
    "startup": "a worker from its start to its first job, against ComfyUI alone",
}
"""Modules of this package with a function `run(quick) -> Report`, and what they measure.

One with arguments of its own has `add_arguments(parser)`, and `run(quick, options)`.
"""


def main(arguments: list[str]) -> int:
    """The command's exit status; the result is on stdout, progress on stderr."""
    name = next((argument for argument in arguments if not argument.startswith("-")), None)
    if name not in BENCHMARKS:
        print("Usage: python -m tests.benchmarks NAME [--json] [--quick]", file=sys.stderr)
        for name, what in BENCHMARKS.items():
            print(f"  {name}: {what}", file=sys.stderr)
        return 2
    module = import_module(f"{__package__}.{name}")
    parser = argparse.ArgumentParser(f"python -m tests.benchmarks {name}", description=BENCHMARKS[name])
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    parser.add_argument("--quick", action="store_true", help="less of everything: does it run?")
    takes_options = hasattr(module, "add_arguments")
    if takes_options:
        module.add_arguments(parser)
    arguments.remove(name)
    options = parser.parse_args(arguments)
    report = module.run(options.quick, options) if takes_options else module.run(options.quick)
    print(report.json() if options.json else report.text())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
