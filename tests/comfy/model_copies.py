"""Model files of which several folders have a copy."""

from __future__ import annotations

import json
from pathlib import Path

CACHE = "more/huggingface-cache/hub/models--Comfy-Org--"
COPIES: dict[str, list[str]] = {
    "vae/ae.safetensors": [f"{CACHE}a/snapshots/1/split_files/vae", "image/vae", "more/models/vae"],
    "vae/wan_2.1_vae.safetensors": ["image/vae", "more/models/vae"],
    # The snapshot of refs/main first, and of each its split_files.
    "diffusion_models/z_image_turbo_bf16.safetensors": [
        *(f"{CACHE}a/snapshots/{place}diffusion_models" for place in ("2/split_files/", "2/", "1/")),
    ],
    "text_encoders/umt5_xxl_fp8_e4m3fn_scaled.safetensors": ["more/models/text_encoders", "more/models/clip"],
    "diffusion_models/z_image_bf16.safetensors": ["more/models/unet", "more/diffusion_models"],
    # Only the last is whole.
    "text_encoders/qwen_3_4b.safetensors": [
        *(f"{CACHE}b/snapshots/0/split_files/text_encoders!", "image/clip!", "more/models/clip"),
    ],
    "audio_encoders/wav2vec2_large_english_fp16.safetensors": ["more/audio_encoders!"],
}
"""Model files, and the folders that have a copy, the one to be chosen first; "!" marks incomplete ones."""


def write_copies(base: Path) -> None:
    for name, folders in COPIES.items():
        for folder in folders:
            path = base / folder.rstrip("!") / Path(name).name
            path.parent.mkdir(parents=True, exist_ok=True)
            about = {
                "__metadata__": {"path": str(path)},
                "a": {"dtype": "U8", "shape": [9], "data_offsets": [0, 9]},
            }
            header = json.dumps(about).encode()
            content = len(header).to_bytes(8, "little") + header + bytes(9)
            path.write_bytes(content[:-5] if folder.endswith("!") else content)
    (base / f"{CACHE}a/refs").mkdir()
    (base / f"{CACHE}a/refs/main").write_text("2")
