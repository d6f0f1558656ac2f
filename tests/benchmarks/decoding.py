"""The streamed decoder with one, two and four latents at a time, in a process of its own.

`python -m tests.benchmarks.decoding VAE WIDTH HEIGHT` prints a JSON list. For each number: `seconds` for a
chunk of 20 latents, `gb` of video memory at most, and `difference`, the greatest to the frames (0 to 1) of
the decoder as it is shipped; or `error`.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import torch

from driver.comfy.machine import inspect_machine
from driver.paths import COMFYUI

AT_A_TIME = (1, 2, 4)
_CHUNK = 20


def main(path: Path, width: int, height: int) -> list[dict[str, Any]]:
    """Decodes a chunk of noise twice with each number; the second time counts."""
    sys.path.append(str(COMFYUI))
    from comfy.cli_args import args

    args.cpu = inspect_machine().gpu is None
    import comfy.sd
    import comfy.utils

    from story_studio.core.wan_vae import StreamedDecoder

    results: list[dict[str, Any]] = []
    generator = torch.Generator().manual_seed(1)
    latents = torch.randn([1, 16, 1 + _CHUNK, height // 8, width // 8], generator=generator)
    with torch.inference_mode():
        vae = comfy.sd.VAE(sd=comfy.utils.load_torch_file(str(path)))
        shipped, _ = _decode(StreamedDecoder(vae), latents)
        for number in AT_A_TIME:

            class Decoder(StreamedDecoder):
                # Whatever the decoder itself finds out about its ComfyUI.
                _at_a_time = property(lambda _, number=number: number, lambda *_: None)  # type: ignore

            try:
                _decode(Decoder(vae), latents)
                frames, result = _decode(Decoder(vae), latents)
            except Exception as error:
                results.append({"at a time": number, "error": str(error).partition("\n")[0]})
            else:
                difference = (frames - shipped).abs().max().item()
                results.append({"at a time": number, **result, "difference": difference})
    return results


def _decode(decoder: Any, latents: torch.Tensor) -> tuple[torch.Tensor, dict[str, float | None]]:
    on_gpu = torch.cuda.is_available()
    if on_gpu:
        torch.cuda.reset_peak_memory_stats()
    began = time.monotonic()
    # Of a video, the first latent is the reference, whose frame is not shown.
    frames = torch.cat([part.cpu() for part in decoder.decode(latents[:, :, :1], latents[:, :, 1:])])
    seconds = time.monotonic() - began
    return frames, {"seconds": seconds, "gb": torch.cuda.max_memory_allocated() / 1e9 if on_gpu else None}


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))))
