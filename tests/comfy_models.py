"""ComfyUI in the tests' own process with the tiny models, to inspect what a server hides.

The models compute in 32 bits, so equal results can be distinguished from nearly equal ones.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch

import tests.comfy_process  # noqa: F401 -- it hides the GPU before anything imports ComfyUI
from tests.studio import TINY_PACK

FindFile = Callable[[str, str], str]


@dataclass
class Call:
    """One run of the network for one prompt, with its inputs before any patch changes them."""

    negative: bool
    x: torch.Tensor
    timestep: torch.Tensor
    conditions: dict[str, torch.Tensor]


@dataclass
class Record:
    """Each run of the network while a MODEL sampled, and the latents of each chunk."""

    calls: list[Call] = field(default_factory=list)
    latents: list[torch.Tensor] = field(default_factory=list)


RecordSampling = Callable[[Any], tuple[Any, Record]]


@pytest.fixture(scope="session")
def find_file(models: Path) -> FindFile:
    """Finds a tiny model by folder and file name; ComfyUI's loaders accept it from then on."""
    pack = importlib.util.spec_from_file_location("tiny_pack", TINY_PACK / "__init__.py")
    assert pack and pack.loader
    with pytest.MonkeyPatch.context() as patch:
        # With these the pack records what a server does, and this is not a server.
        patch.delenv("STORY_STUDIO_TEST_LOADS", raising=False)
        patch.delenv("STORY_STUDIO_TEST_SAMPLES", raising=False)
        pack.loader.exec_module(importlib.util.module_from_spec(pack))

    def find(folder: str, name: str) -> str:
        return str(models / folder / f"{name}.safetensors")

    return find


@pytest.fixture(autouse=True)
def inference() -> Iterator[None]:
    """As ComfyUI runs its nodes."""
    with torch.inference_mode():
        yield


@pytest.fixture(scope="session")
def model(find_file: FindFile) -> Any:
    """The S2V MODEL at the official shift of 3. Tests change only clones of it."""
    import comfy.sd
    from comfy_extras.nodes_model_advanced import ModelSamplingSD3

    path = find_file("diffusion_models", "wan2.2_s2v_14B_bf16")
    with torch.inference_mode():
        loaded = comfy.sd.load_diffusion_model(path, model_options={"dtype": torch.float32})
        return ModelSamplingSD3().patch(loaded, 3.0)[0]


@pytest.fixture(scope="session")
def lora(find_file: FindFile) -> Any:
    """The weights of the 4-step LoRA."""
    import comfy.utils

    path = find_file("loras", "wan2.2_t2v_lightx2v_4steps_lora_v1.1_high_noise")
    return comfy.utils.load_torch_file(path, safe_load=True)


@pytest.fixture(scope="session")
def vae(find_file: FindFile) -> Any:
    """The Wan 2.1 VAE."""
    import comfy.sd
    import comfy.utils

    with torch.inference_mode():
        weights = comfy.utils.load_torch_file(find_file("vae", "wan_2.1_vae"))
        return comfy.sd.VAE(sd=weights, dtype=torch.float32)


@pytest.fixture(scope="session")
def clip(find_file: FindFile) -> Any:
    """umt5 as CLIP."""
    import comfy.sd

    path = find_file("text_encoders", "umt5_xxl_fp8_e4m3fn_scaled")
    with torch.inference_mode():
        return comfy.sd.load_clip([path], clip_type=comfy.sd.CLIPType.WAN)


@pytest.fixture(scope="session")
def prompts(clip: Any) -> tuple[list, list]:
    """The positive and the negative CONDITIONING."""
    with torch.inference_mode():
        positive, negative = (
            clip.encode_from_tokens_scheduled(clip.tokenize(text)) for text in ("a person talks", "blurred")
        )
    return positive, negative


@pytest.fixture(scope="session")
def audio_encoder(find_file: FindFile) -> Any:
    """The AUDIO_ENCODER: wav2vec2."""
    import comfy.audio_encoders.audio_encoders as encoders
    import comfy.utils

    with torch.inference_mode():
        weights = comfy.utils.load_torch_file(find_file("audio_encoders", "wav2vec2_large_english_fp16"))
        return encoders.load_audio_encoder_from_sd(weights)


@pytest.fixture(scope="session")
def record_sampling() -> RecordSampling:
    """Clones a MODEL so that it records its sampling."""
    from comfy.patcher_extension import WrappersMP

    def clone_and_record(model: Any) -> tuple[Any, Record]:
        record = Record()

        def record_call(executor: Any, x: torch.Tensor, timestep: torch.Tensor, *args: Any, **kwargs: Any):
            conditions = {name: value for name, value in kwargs.items() if isinstance(value, torch.Tensor)}
            kinds = args[-1]["cond_or_uncond"]
            for kind, *parts in zip(
                kinds,
                *(tensor.clone().chunk(len(kinds)) for tensor in (x, timestep, *conditions.values())),
                strict=True,
            ):
                record.calls.append(
                    Call(kind == 1, parts[0], parts[1], dict(zip(conditions, parts[2:], strict=True)))
                )
            return executor(x, timestep, *args, **kwargs)

        def record_latents(executor: Any, *args: Any, **kwargs: Any) -> torch.Tensor:
            record.latents.append(executor(*args, **kwargs))
            return record.latents[-1]

        clone = model.clone()
        clone.add_wrapper_with_key(WrappersMP.DIFFUSION_MODEL, "test", record_call)
        clone.add_wrapper_with_key(WrappersMP.OUTER_SAMPLE, "test", record_latents)
        return clone, record

    return clone_and_record


@pytest.fixture(scope="session")
def image() -> torch.Tensor:
    """The reference image: noise, [1, 64, 64, 3]."""
    return torch.rand(1, 64, 64, 3, generator=torch.Generator().manual_seed(9))


@pytest.fixture
def sample_clip(
    record_sampling: RecordSampling, vae: Any, prompts: tuple[list, list], image: torch.Tensor
) -> Callable[..., Record]:
    """Samples a clip of the image with the pack's chunk loop, and records it."""
    from story_studio.s2v import sampling, timeline

    def run(
        model: Any,
        frames: int = 1,
        steps: int = 2,
        seed: int = 7,
        features: torch.Tensor | None = None,
        pose_video: torch.Tensor | None = None,
    ) -> Record:
        if features is None:
            total = timeline.chunk_count(frames) * timeline.CHUNK_FRAMES
            features = torch.randn(1, 25, 32, total, generator=torch.Generator().manual_seed(8))
        clone, record = record_sampling(model)
        settings = sampling.Settings(steps=steps, cfg=4.5, seed=seed)
        for _ in sampling.sample_clip(
            clone,
            *prompts,
            vae,
            features.split(80, dim=-1),
            image,
            frames,
            settings,
            lambda *_: None,
            pose_video,
        ):
            pass
        return record

    return run
