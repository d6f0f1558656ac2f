"""RunPod's worker: a job in, a driver call, its answer out."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import runpod

from driver.comfy import Comfy
from driver.host import Host
from driver.server import Server
from driver.storage import from_environment
from driver.templates import ROOT
from driver.worker import Worker

VOLUME = Path(os.environ.get("MODEL_CACHE_DIR", ROOT / "workspace"))


def main() -> None:
    """Starts ComfyUI and takes jobs until RunPod stops the worker."""
    output = ROOT / "output"
    with Server(ROOT / "workspace", output, models=VOLUME if VOLUME.is_dir() else None) as server:
        worker = Worker(Host(Comfy(server.url, server.alive), server), from_environment(output), output)

        async def handle(job: dict[str, Any]) -> dict[str, Any]:
            return await asyncio.to_thread(worker.run, job["id"], job["input"])

        runpod.serverless.start({"handler": handle})


if __name__ == "__main__":
    main()
