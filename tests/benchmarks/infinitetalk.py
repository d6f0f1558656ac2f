"""InfiniteTalk's recipes with tiny random models, in a ComfyUI that has them (0.11.0 or newer).

`python -m tests.benchmarks.infinitetalk FOLDER` writes models of about 1.6 GB into FOLDER, most of it the
image encoder, whose size ComfyUI takes for granted; tries both recipes; and renders a story whose voice takes
two runs. It prints the size, frame rate, frames and seconds of audio of each clip.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import av
import torch
import yaml

from driver.cli import main
from driver.comfy.process import Server
from story_studio.story.recipes import FOLDER
from tests import model_builders as builders
from tests.studio import CPU_FLAGS, TINY_PACK
from tests.tiny_models import make_models, random_weight
from tests.voices import write_voice

# The least width that forty heads of InfiniteTalk and heads of 128 in Wan share.
DIM = 640


def write(folder: Path, name: str, weights: dict[str, torch.Tensor]) -> None:
    from safetensors.torch import save_file

    path = folder / f"{name}.safetensors"
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({key: tensor.contiguous() for key, tensor in weights.items()}, path)


def random_weights(name: str, model: torch.nn.Module, dtype: torch.dtype) -> dict[str, torch.Tensor]:
    return {
        key: random_weight(name, key, tensor.shape).to(dtype) for key, tensor in model.state_dict().items()
    }


def write_models(folder: Path) -> None:
    make_models(folder)
    import comfy.clip_model
    import comfy.clip_vision
    import comfy.ops
    from comfy.audio_encoders.audio_encoders import AudioEncoderModel
    from comfy.ldm.wan.model import WanModel
    from comfy_extras import nodes_model_patch

    operations: Any = comfy.ops.disable_weight_init
    wan = WanModel(
        model_type="i2v",
        in_dim=36,
        dim=DIM,
        ffn_dim=256,
        num_heads=DIM // 128,
        num_layers=2,
        operations=operations,
    )
    name = "diffusion_models/wan2.1_i2v_480p_14B_fp8_scaled"
    write(folder, name, random_weights(name, wan, torch.bfloat16))
    patch_class: Any = vars(nodes_model_patch)["MultiTalkModelPatch"]
    patch = patch_class(
        audio_window=5,
        context_tokens=32,
        vae_scale=4,
        in_dim=DIM,
        intermediate_dim=32,
        out_dim=64,
        operations=operations,
    )
    for kind in ("single", "multi"):
        name = f"model_patches/wan2.1_infiniteTalk_{kind}_fp16"
        write(folder, name, random_weights(name, patch, torch.float16))
    encoder = AudioEncoderModel(
        {
            "model_type": "wav2vec2",
            "embed_dim": 768,
            "num_heads": 12,
            "num_layers": 12,
            "conv_norm": False,
            "conv_bias": False,
            "do_normalize": False,
            "do_stable_layer_norm": False,
        }
    )
    name = "audio_encoders/wav2vec2-chinese-base_fp16"
    write(folder, name, random_weights(name, encoder.model, torch.float16))
    config = json.loads(Path(comfy.clip_vision.__file__).with_name("clip_vision_config_h.json").read_text())
    vision: Any = comfy.clip_model.CLIPVisionModelProjection(config, torch.float16, "cpu", operations)
    empty = {key: torch.zeros_like(tensor) for key, tensor in vision.state_dict().items()}
    write(folder, "clip_vision/clip_vision_h", empty)
    lora: dict[str, torch.Tensor] = {}
    for layer, matrices in builders.lora_layers(wan, 4):
        for part, shape in matrices.items():
            lora[f"{layer}.{part}.weight"] = random_weight("lora", f"{layer}{part}", shape).to(torch.bfloat16)
        lora[f"{layer}.alpha"] = torch.tensor(4.0)
    write(folder, "loras/lightx2v_I2V_14B_480p_cfg_step_distill_rank64_bf16", lora)


def write_story(folder: Path) -> Path:
    """A story of one talking scene of 0.6 s, in runs of nine frames."""
    nodes = json.loads((FOLDER / "infinitetalk_clip.json").read_text("utf-8"))
    (length,) = (node for node in nodes.values() if node["_meta"]["title"] == "$length")
    length["inputs"]["value"] = 9
    (folder / "short_clip.json").write_text(json.dumps(nodes))
    write_voice(folder / "voice.wav", 0.6, 140)
    settings = {"workflow": "short_clip.json", "sample_steps": 2, "resolution": "128x64"}
    scene = {"id": "boat", "prompt": "a sailor", "text": "Hello there.", "audio": "voice.wav"}
    story = {"project_id": "tale", "profile": "draft", "video_settings": settings, "scenes": [scene]}
    path = folder / "tale.yaml"
    path.write_text(yaml.safe_dump(story))
    return path


def run(folder: Path) -> None:
    models, workspace, output = (folder / name for name in ("models", "workspace", "output"))
    builders.import_comfy()
    if not models.is_dir():
        write_models(models)
    (workspace / "custom_nodes").mkdir(parents=True, exist_ok=True)
    tiny = workspace / "custom_nodes" / "tiny_pack"
    if not tiny.exists():
        tiny.symlink_to(TINY_PACK, target_is_directory=True)
    with Server(workspace, workspace / "output", models=models, extra_flags=CPU_FLAGS) as server:
        to = ["--server", server.url, "--output", str(output)]
        for name in ("infinitetalk_clip", "infinitetalk_two_speakers_clip"):
            main(["recipes", "try", f"{name}.json", *to])
        main(["render", str(write_story(folder)), *to])
    for path in [*output.glob("recipes/*.mp4"), *output.glob("tale/*_video.mp4")]:
        with av.open(str(path)) as clip:
            (video,) = clip.streams.video
            frames = sum(1 for _ in clip.decode(video))
            sound = [float((audio.duration or 0) * (audio.time_base or 0)) for audio in clip.streams.audio]
            print(f"{path.name}: {video.width}x{video.height}, {video.average_rate} fps, {frames}, {sound}")


if __name__ == "__main__":
    run(Path(sys.argv[1]))
