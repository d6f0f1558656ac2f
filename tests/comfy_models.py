"""ComfyUI in the tests' own process, with the tiny models: for what a server does not show.

The models compute in 32 bits, so that what should be equal can be told from what is nearly so.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch

import tests.comfy_process  # noqa: F401 -- it says that there is no GPU before anything imports ComfyUI
from tests.studio import TINY_PACK

FindFile = Callable[[str, str], str]


@dataclass
class Call:
    """One run of the network for one prompt: what it was given, before any change of ours."""

    negative: bool
    x: torch.Tensor
    timestep: torch.Tensor
    given: dict[str, torch.Tensor]


@dataclass
class Record:
    """What happened when a MODEL sampled: each run of the network, and the latents of each chunk."""

    calls: list[Call] = field(default_factory=list)
    latents: list[torch.Tensor] = field(default_factory=list)


Watch = Callable[[Any], tuple[Any, Record]]


@pytest.fixture(scope="session")
def find_file(models: Path) -> FindFile:
    """The path of a tiny model, by ComfyUI's folder and the file's name, which ComfyUI's loaders now take."""
    pack = importlib.util.spec_from_file_location("tiny_pack", TINY_PACK / "__init__.py")
    assert pack and pack.loader
    with pytest.MonkeyPatch.context() as patch:
        # They ask the pack to record what a server does, and this is none.
        patch.delenv("STORY_STUDIO_TEST_LOADS", raising=False)
        patch.delenv("STORY_STUDIO_TEST_SAMPLES", raising=False)
        pack.loader.exec_module(importlib.util.module_from_spec(pack))

    def find(folder: str, name: str) -> str:
        return str(models / folder / f"{name}.safetensors")

    return find


@pytest.fixture(autouse=True)
def inference() -> Iterator[None]:
    """Tests run as ComfyUI runs its nodes."""
    with torch.inference_mode():
        yield


@pytest.fixture(scope="session")
def model(find_file: FindFile) -> Any:
    """The S2V MODEL, at the official shift of 3. Tests leave it as it is, and change clones."""
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
    """The CLIP that reads prompts: umt5."""
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
def watch() -> Watch:
    """Makes a clone of a MODEL that records what it samples."""
    from comfy.patcher_extension import WrappersMP

    def watch(model: Any) -> tuple[Any, Record]:
        record = Record()

        def note_call(executor: Any, x: torch.Tensor, timestep: torch.Tensor, *args: Any, **kwargs: Any):
            given = {name: value for name, value in kwargs.items() if isinstance(value, torch.Tensor)}
            kinds = args[-1]["cond_or_uncond"]
            for kind, *parts in zip(
                kinds,
                *(tensor.clone().chunk(len(kinds)) for tensor in (x, timestep, *given.values())),
                strict=True,
            ):
                record.calls.append(
                    Call(kind == 1, parts[0], parts[1], dict(zip(given, parts[2:], strict=True)))
                )
            return executor(x, timestep, *args, **kwargs)

        def note_latents(executor: Any, *args: Any, **kwargs: Any) -> torch.Tensor:
            record.latents.append(executor(*args, **kwargs))
            return record.latents[-1]

        watched = model.clone()
        watched.add_wrapper_with_key(WrappersMP.DIFFUSION_MODEL, "test", note_call)
        watched.add_wrapper_with_key(WrappersMP.OUTER_SAMPLE, "test", note_latents)
        return watched, record

    return watch


@pytest.fixture(scope="session")
def picture() -> torch.Tensor:
    """The picture that talks: noise, [1, 64, 64, 3]."""
    return torch.rand(1, 64, 64, 3, generator=torch.Generator().manual_seed(9))


@pytest.fixture
def talk(watch: Watch, vae: Any, prompts: tuple[list, list], picture: torch.Tensor) -> Callable[..., Record]:
    """Runs our own loop for a clip of the picture, and says what it sampled."""
    from story_studio.s2v import sampling, timeline

    def run(
        model: Any, frames: int = 1, steps: int = 2, seed: int = 7, heard: torch.Tensor | None = None
    ) -> Record:
        if heard is None:
            pictures = timeline.chunk_count(frames) * timeline.PICTURES
            heard = torch.randn(1, 25, 32, pictures, generator=torch.Generator().manual_seed(8))
        watched, record = watch(model)
        settings = sampling.Settings(steps=steps, cfg=4.5, seed=seed)
        for _ in sampling.talk(
            watched,
            *prompts,
            vae,
            heard.split(80, dim=-1),
            picture,
            frames,
            settings,
            on_step=lambda *_: None,
        ):
            pass
        return record

    return run
