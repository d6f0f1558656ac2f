"""The internals of ComfyUI that the pack uses behave as the pack expects.

A failing test says in one sentence which internal has changed.
"""

from __future__ import annotations

import asyncio
import copy
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import comfy.model_management
import comfy.utils
import nodes
import numpy as np
import pytest
import torch
from comfy_api.latest import InputImpl, io
from comfy_execution.graph import DynamicPrompt

from story_studio.core import execution, loading, memory, sampling, video, wan_model, wan_vae, wav2vec2
from story_studio.s2v import patches, unipc
from tests.s2v.tools import forward, relative, use
from tests.tolerance import assert_same, difference, tolerance

SIDE = 4


def latents(count: int, seed: int = 0) -> torch.Tensor:
    return noise(count, SIDE, SIDE, seed)


def noise(count: int, height: int, width: int, seed: int = 0) -> torch.Tensor:
    """Noise as latents."""
    return torch.randn([1, 16, count, height, width], generator=torch.Generator().manual_seed(seed))


class Shortened(InputImpl.VideoFromFile):
    """A trimmed video, which another node pack can return in older versions of ComfyUI, too."""

    def get_duration(self) -> float:
        return 0.5


class Cropped(InputImpl.VideoFromFile):
    """A cropped video."""

    def get_dimensions(self) -> tuple[int, int]:
        return 32, 32


def write_video(path: Path, frames: int = 32) -> str:
    """Writes two seconds of grey that becomes lighter."""
    with av.open(str(path), "w") as file:
        stream = file.add_stream("libx264", rate=Fraction(16), options={"g": "8"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for index in range(frames):
            pixels = np.full((48, 64, 3), 8 * index, np.uint8)
            file.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, "rgb24")))
        file.mux(stream.encode(None))
    return str(path)


@pytest.mark.parametrize("count", [1, 2, 3, 8])
def test_the_decoder_continues_from_its_state(vae: Any, count: int) -> None:
    context, rest = latents(19), latents(count, seed=1)
    decoder = wan_vae.StreamedDecoder(vae)
    streamed = torch.cat(list(decoder.decode(context, rest)))
    whole = vae.decode(torch.cat([context, rest], dim=2))[0, -4 * count :]
    assert difference(streamed, whole) <= tolerance(torch.float32), (
        "Decoder3d.forward does not keep in feat_cache what later latents need."
    )
    other = wan_vae.StreamedDecoder(vae)
    list(other.decode(context[:, :, :1], rest[:, :, :0]))
    without_context = torch.cat(list(other.decode(rest[:, :, :0], rest)))
    assert (without_context - whole).abs().max() > 1e-2, (
        "Decoder3d.forward does not depend on earlier latents."
    )


@pytest.mark.parametrize("size", [(2, 2), (4, 4), (6, 2)])
@pytest.mark.parametrize("count", [1, 5, 19])
def test_context_leaves_the_state_of_a_whole_decode(vae: Any, count: int, size: tuple[int, int]) -> None:
    """To the bit, because each layer that runs gets tensors of the same shapes."""
    context, rest = noise(count, *size), noise(4, *size)
    shortened, whole = wan_vae.StreamedDecoder(vae), wan_vae.StreamedDecoder(vae)
    list(shortened.decode(context, nothing := rest[:, :, :0]))
    list(whole.decode(nothing, context))
    continued = [torch.cat(list(decoder.decode(nothing, rest))) for decoder in (shortened, whole)]
    assert torch.equal(*continued), (
        "Decoder3d.upsamples does not depend on earlier latents as its kernels say."
    )


def test_no_layer_decodes_more_context_than_it_needs(vae: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    context, rest = noise(19, 2, 2), noise(4, 2, 2)

    def continued(needed: list[int]) -> torch.Tensor:
        monkeypatch.setattr(wan_vae, "context_of_layers", lambda _: needed)
        return torch.cat(list(wan_vae.StreamedDecoder(vae).decode(context, rest)))

    needed = wan_vae.context_of_layers(vae.first_stage_model.decoder)
    expected = continued(needed)
    for depth, count in enumerate(needed):
        if count < 19:
            # Two fewer, because newer decoders take two at a time.
            fewer = [*needed[:depth], *(min(other, count - 2) for other in needed[depth:])]
            assert not torch.equal(continued(fewer), expected), depth


def test_the_encoder_gets_channels_side_by_side_and_keeps_no_hook(vae: Any) -> None:
    frames = torch.rand([9, 32, 48, 3], generator=torch.Generator().manual_seed(1))
    layouts = []

    def record(_: Any, args: tuple[Any, ...]) -> None:
        layouts.append(args[0].stride()[0] == args[0].numel() and args[0].stride()[1] == 1)

    encoder = vae.first_stage_model.encoder
    hook = encoder.conv1.register_forward_pre_hook(record)
    encoded = wan_vae.encode(vae, frames)
    hook.remove()
    assert len(layouts) > 1 and all(layouts)
    assert not encoder._forward_pre_hooks
    assert_same(encoded, vae.encode(frames), torch.float32, dim=2)


def test_the_layers_get_channels_side_by_side_and_the_decoder_is_not_changed(vae: Any) -> None:
    decoder, layouts = vae.first_stage_model.decoder, []

    def record(_: Any, args: tuple[Any, ...]) -> None:
        layouts.append(args[0].is_contiguous(memory_format=torch.channels_last_3d))

    before = vae.decode(noise(5, 4, 4))
    modules = list(decoder.modules())
    hooks = [layer.register_forward_pre_hook(record) for layer in [*decoder.middle, *decoder.upsamples]]
    list(wan_vae.StreamedDecoder(vae).decode(noise(3, 4, 4), noise(4, 4, 4)))
    for hook in hooks:
        hook.remove()
    assert layouts and all(layouts)
    assert list(decoder.modules()) == modules
    assert torch.equal(vae.decode(noise(5, 4, 4)), before)


def test_the_decoder_moves_off_its_device_and_back(vae: Any) -> None:
    decoder = wan_vae.StreamedDecoder(vae)
    first = torch.cat(list(decoder.decode(latents(1), latents(4, seed=1))))
    decoder.offload()
    second = torch.cat(list(decoder.decode(latents(0), latents(4, seed=2))))
    whole = vae.decode(torch.cat([latents(1), latents(4, seed=1), latents(4, seed=2)], dim=2))[0, 1:]
    assert_same(torch.cat([first, second]), whole, torch.float32)


def test_a_video_has_a_source_file_only_if_it_is_the_whole_file(tmp_path: Path) -> None:
    source = write_video(tmp_path / "whole.mp4")
    whole = InputImpl.VideoFromFile(source)
    assert video.source_file(whole) == Path(source), (
        "VideoFromFile.get_stream_source does not return its file."
    )
    parts: list[Any] = [Shortened(source), Cropped(source)]
    if trim := getattr(whole, "as_trimmed", None):
        parts += [trim(0.0, 0.5), trim(0.5, 0.0), trim(0.5, 1.0)]
    with suppress(TypeError):  # only ComfyUI after 0.33 can crop
        parts.append(InputImpl.VideoFromFile(source, crop=(0, 0, 32, 32)))  # pyright: ignore[reportCallIssue]
    for part in parts:
        assert video.source_file(part) is None, (
            "VideoFromFile can be cut without a change of duration or size."
        )


def test_a_raw_stream_has_a_source_file(tmp_path: Path) -> None:
    """Although its duration is unknown."""
    with av.open(write_video(tmp_path / "whole.mp4")) as mp4, av.open(str(tmp_path / "raw.h264"), "w") as raw:
        stream = raw.add_stream_from_template(mp4.streams.video[0])
        for packet in mp4.demux(mp4.streams.video[0]):
            if packet.dts is not None:
                packet.stream = stream
                raw.mux(packet)
    path = str(tmp_path / "raw.h264")
    assert video.source_file(InputImpl.VideoFromFile(path)) == Path(path)


def test_a_part_of_a_video_is_saved_as_that_part(tmp_path: Path) -> None:
    whole: Any = InputImpl.VideoFromFile(write_video(tmp_path / "whole.mp4"))
    if not hasattr(whole, "as_trimmed"):
        return  # Before 0.13 a video cannot be trimmed.
    whole.as_trimmed(0.5, 1.0).save_to(str(tmp_path / "part.mp4"))
    part = InputImpl.VideoFromFile(str(tmp_path / "part.mp4"))
    assert part.get_duration() == pytest.approx(1.0, abs=1 / 16), "VideoFromFile.save_to ignores the trim."


def test_a_module_is_patched_while_the_clone_is_used(model: Any) -> None:
    patched = patches.patch_to_official(model)
    network = use(patched)
    parts = (network.casual_audio_encoder, network.frame_packer)
    assert all(hasattr(part, "story_studio_patches") for part in parts), (
        "ModelPatcher.add_object_patch does not set __class__."
    )
    network = use(model)
    parts = (network.casual_audio_encoder, network.frame_packer)
    assert not any(hasattr(part, "story_studio_patches") for part in parts), (
        "ModelPatcher leaves its object patches in the network."
    )


def test_a_patch_works_in_a_copy_of_the_network(model: Any) -> None:
    """With several GPUs the patches are applied to a copy, and must not refer to the original."""
    patched = patches.patch_to_official(model)
    expected = forward(patched)
    use(model)
    other = SimpleNamespace(
        diffusion_model=copy.deepcopy(model.model.diffusion_model), model_sampling=model.model.model_sampling
    )
    for name, patch in patched.object_patches.items():
        comfy.utils.set_attr(other, name, patch)
    # A patch that still uses the original network would get zeros.
    for weights in model.model.diffusion_model.casual_audio_encoder.parameters():
        weights.data, weights.original = torch.zeros_like(weights), weights.data
    try:
        in_copy = other.diffusion_model.casual_audio_encoder(torch.ones(1, 25, 32, 80))[1]
    finally:
        for weights in model.model.diffusion_model.casual_audio_encoder.parameters():
            weights.data = weights.original
    in_original = use(patched).casual_audio_encoder(torch.ones(1, 25, 32, 80))[1]
    assert torch.equal(in_copy, in_original), (
        "A patch refers to another network than the one it is applied to."
    )
    assert relative(forward(patched), expected) == 0


def test_a_patch_of_another_node_pack_is_called(model: Any) -> None:
    use(model)
    other = model.clone()
    name = f"{wan_model.AUDIO_ENCODER}.forward"
    stock, lengths = other.get_model_object(name), []
    other.add_object_patch(name, lambda features: lengths.append(features.shape[-1]) or stock(features))
    expected = forward(patches.patch_to_official(model))
    assert relative(forward(patches.patch_to_official(patches.patch_to_official(other))), expected) < 1e-6
    assert set(lengths) == {73 + 80}, "features are prepended once, then passed to the other pack's patch"


def test_the_schedule_of_a_clone_is_independent(model: Any) -> None:
    before = model.get_model_object("model_sampling").sigmas.clone()
    patches.patch_to_official(model).get_model_object("model_sampling").set_parameters(shift=8.0)
    assert torch.equal(model.get_model_object("model_sampling").sigmas, before)


def test_the_network_accepts_the_inputs_of_a_talking_video(model: Any) -> None:
    assert wan_model.is_s2v(model), "The class of Wan2.2 S2V in comfy.model_base is not WAN22_S2V."
    assert wan_model.text_width(model) == 4096
    assert wan_model.audio_shape(model) == (25, 32)
    assert wan_model.shift(model) == 3.0, "ModelSamplingSD3 does not store its shift in `shift`."
    assert torch.isfinite(forward(patches.patch_to_official(model))).all()


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (comfy.model_management.OOM_EXCEPTION("Allocation on device"), True),
        (torch.AcceleratorError("CUDA error: out of memory"), True),
        (torch.AcceleratorError("CUDA error: an illegal memory access was encountered"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_every_out_of_memory_error_is_recognised(error: Exception, expected: bool) -> None:
    assert memory.is_out_of_memory(error) == expected, f"is_oom misjudges {error!r}."


def test_wav2vec2_in_parts_equals_the_whole(audio_encoder: Any) -> None:
    samples = torch.randn(1, 1, 16_000, generator=torch.Generator().manual_seed(3))
    stock = torch.cat(audio_encoder.encode_audio(samples, 16_000)["encoded_audio_all_layers"])
    assert wav2vec2.output_shape(audio_encoder) == (25, 32) == (len(stock), stock.shape[2])
    normal = (samples[0, 0] - samples.mean()) / torch.sqrt(samples.var() + 1e-7)
    features = wav2vec2.local_features(audio_encoder, normal.to(wav2vec2.load(audio_encoder)))
    ours = wav2vec2.hidden_states(audio_encoder, features)
    assert difference(ours.float(), stock.float()) <= tolerance(torch.float32), (
        "Wav2Vec2Model.forward does more than its parts."
    )


class OldNode:
    """A V1 node that reads a file."""

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {"required": {"name": ("STRING",)}, "optional": {"size": ("INT", {"default": 3})}}

    @classmethod
    def IS_CHANGED(cls, name: str, size: int = 3) -> str:
        return f"old {name} {size}"


class NewNode(io.ComfyNode):
    """A V3 node that reads a file."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(node_id="NewNode", inputs=[io.String.Input("name")], outputs=[io.String.Output()])

    @classmethod
    def fingerprint_inputs(cls, name: str) -> str:
        return f"new {name}"

    @classmethod
    def execute(cls, name: str) -> io.NodeOutput:
        return io.NodeOutput(name)


class PlainNode(io.ComfyNode):
    """A V3 node that reads nothing."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(node_id="PlainNode", inputs=[io.String.Input("name")], outputs=[io.String.Output()])

    @classmethod
    def execute(cls, name: str) -> io.NodeOutput:
        return io.NodeOutput(name)


@pytest.fixture
def classes(monkeypatch: pytest.MonkeyPatch) -> None:
    for cls in (OldNode, NewNode, PlainNode):
        monkeypatch.setitem(nodes.NODE_CLASS_MAPPINGS, cls.__name__, cls)
        if issubclass(cls, io.ComfyNode):
            cls.GET_SCHEMA()


@pytest.mark.parametrize(
    ("cls", "fingerprint"), [("OldNode", "old a 3"), ("NewNode", "new a"), ("PlainNode", False)]
)
def test_comfyui_and_the_pack_take_the_same_fingerprint(
    classes: None, cls: str, fingerprint: str | bool
) -> None:
    graph = DynamicPrompt({"1": {"class_type": cls, "inputs": {"name": "a"}}})
    without_cache = execution.fingerprint({"class_type": cls, "inputs": {"name": "a"}}, lambda: {"name": "a"})
    asyncio.run(execution.ask_fingerprints(graph, ["1"]))
    from_comfyui = execution.fingerprint(graph.get_node("1"), dict)
    assert from_comfyui == without_cache == [fingerprint], (
        f"IsChangedCache does not store the fingerprint of {cls} in its node."
    )


def test_inputs_without_effect_are_recognised(classes: None) -> None:
    default = execution.default_without_effect
    assert default("OldNode", "size") == 3, "get_input_info does not return the options of an optional input."
    assert default("OldNode", "name") is None
    assert default("OldNode", "other") is execution.NEVER


def test_sampling_ends_at_the_denoised_latents(model: Any) -> None:
    steps: list[tuple[int, torch.Tensor]] = []
    cond = [[torch.zeros(1, 8, 4096), {"audio_embed": torch.zeros(1, 25, 32, 80)}]]
    sigmas = torch.tensor([0.999, 0.5, 0.0])
    latents_out = sampling.sample(
        model,
        cond,
        cond,
        torch.zeros(1, 16, 20, 8, 8),
        unipc.sampler(),
        sigmas,
        1.0,
        7,
        lambda *step: steps.append(step),
    )
    assert [step for step, _ in steps] == [1, 2], "sample_custom does not call back once after each step."
    assert latents_out.shape == (1, 16, 20, 8, 8)
    torch.testing.assert_close(
        latents_out, model.model.process_latent_out(steps[-1][1]).to(latents_out), atol=1e-4, rtol=1e-4
    )
    assert sampling.make_previewer(model) is None, (
        "get_previewer returns a previewer although previews are disabled."
    )


def test_models_are_loaded_onto_the_cpu(find_file: Any) -> None:
    model = loading.load_diffusion_model(find_file("diffusion_models", "wan2.2_s2v_14B_bf16"))
    lora = find_file("loras", "wan2.2_t2v_lightx2v_4steps_lora_v1.1_high_noise")
    shifted = loading.apply_shift(loading.apply_lora(model, lora, 1.0), 5.0)
    assert wan_model.shift(shifted) == 5.0 and shifted.patches and not model.patches
    clip = loading.load_text_encoder(find_file("text_encoders", "umt5_xxl_fp8_e4m3fn_scaled"), [])
    tokens = clip.encode_from_tokens_scheduled(clip.tokenize("a person talks"))[0][0]
    assert tokens.shape[-1] == wan_model.text_width(model)
    wan_vae.require_video_vae(loading.load_vae(find_file("vae", "wan_2.1_vae")))
    encoder = loading.load_audio_encoder(find_file("audio_encoders", "wav2vec2_large_english_fp16"))
    assert wav2vec2.output_shape(encoder) == wan_model.audio_shape(model)
    # Under memory pressure, newer versions keep cached outputs that are all marked as dynamic.
    assert hasattr(encoder, "is_dynamic") == hasattr(encoder.patcher, "is_dynamic")
