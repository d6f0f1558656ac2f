"""Everything internal to ComfyUI that the pack relies on, and whether a ComfyUI still has it.

Each contract belongs to one module beside this file, which is alone in using those names. Whether they are
there, with these parameters, is read from the sources: in some milliseconds, and without importing anything.
Whether they still do the same is what `tests/contracts` runs, on every core.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

RUN_ON = ("0.3.75", "0.11.0", "0.17.0", "0.18.1", "0.33.0")
"""Releases of ComfyUI on which all contract tests, and the pack, were run."""


@dataclass(frozen=True)
class Contract:
    """What one module relies on, the riskiest first in `CONTRACTS`.

    Attributes:
        module: the module in `core`.
        without: what happens to the user who lacks it.
        uses: what is used of ComfyUI, by its file: `name`, `Class.member`, or either with the parameters
            that are passed, `name(a, b)`. A member is a method, or an attribute that the class sets.
        drafts: whether drafts need it too, which render without a model.
        run_on: the releases that it was run on.
    """

    module: str
    without: str
    uses: dict[str, tuple[str, ...]]
    drafts: bool = False
    run_on: tuple[str, ...] = RUN_ON


CONTRACTS = (
    Contract(
        "wan_vae",
        "Talking Video takes more memory",
        {
            "comfy/ldm/wan/vae.py": (
                "WanVAE.conv2",
                "WanVAE.decoder",
                "Decoder3d.forward(x, feat_cache, feat_idx)",
            ),
            "comfy/sd.py": (
                "VAE.decode(samples_in)",
                "VAE.decode_tiled(samples, tile_x, tile_y, overlap)",
                "VAE.encode(pixel_samples)",
                *(f"VAE.{name}" for name in ("first_stage_model", "latent_channels", "patcher", "device")),
                *(f"VAE.{name}" for name in ("output_device", "vae_dtype", "memory_used_decode")),
                *(f"VAE.{name}" for name in ("disable_offload", "process_output")),
            ),
            "comfy/model_management.py": ("load_models_gpu(models, memory_required, force_full_load)",),
        },
    ),
    Contract(
        "video",
        "Clip and Film fail",
        {
            "comfy_api/latest/_input_impl/video_types.py": (
                "VideoFromFile.get_stream_source",
                "VideoFromFile.get_duration",
                "VideoFromFile.get_dimensions",
                "VideoFromFile.save_to(path)",
            )
        },
        drafts=True,
    ),
    Contract(
        "wan_model",
        "Talking Video fails",
        {
            "comfy/ldm/wan/model.py": (
                "WanModel_S2V.casual_audio_encoder",
                "WanModel_S2V.frame_packer",
                "WanModel_S2V.forward_orig(audio_embed, reference_latent, control_video, reference_motion)",
                "WanModel.rope_embedder",
                "WanModel.text_dim",
                "CausalAudioEncoder.forward(features)",
                "CausalAudioEncoder.weights",
                "CausalAudioEncoder.encoder",
                "MotionEncoder_tc.conv1_local",
                "CausalConv1d.conv",
                "FramePackMotioner.forward(motion_latents, rope_embedder)",
            ),
            "comfy/model_base.py": ("WAN22_S2V.extra_conds", "BaseModel.diffusion_model"),
            "comfy/model_sampling.py": ("ModelSamplingDiscreteFlow.timestep(sigma)",),
            "comfy/model_patcher.py": (
                "ModelPatcher.clone",
                "ModelPatcher.add_object_patch(name, obj)",
                "ModelPatcher.get_model_object(name)",
            ),
        },
    ),
    Contract(
        "memory",
        "Talking Video fails when memory runs out",
        {"comfy/model_management.py": ("OOM_EXCEPTION", "soft_empty_cache")},
    ),
    Contract(
        "wav2vec2",
        "Talking Video fails",
        {
            "comfy/audio_encoders/wav2vec2.py": (
                "Wav2Vec2Model.feature_extractor",
                "Wav2Vec2Model.feature_projection",
                "Wav2Vec2Model.encoder",
                "FeatureProjection.projection",
                "TransformerEncoder.layers",
            ),
            "comfy/audio_encoders/audio_encoders.py": (
                "AudioEncoderModel.model",
                "AudioEncoderModel.patcher",
                "AudioEncoderModel.load_device",
            ),
            "comfy/model_management.py": ("load_model_gpu(model)",),
        },
    ),
    Contract(
        "execution",
        "Still and Clip fail",
        {
            "execution.py": ("IsChangedCache.get(node_id)",),
            "comfy_execution/graph.py": (
                "DynamicPrompt.get_node(node_id)",
                "DynamicPrompt.all_node_ids",
                "get_input_info(class_def, input_name)",
            ),
            "comfy_api/internal/__init__.py": ("_ComfyNodeInternal", "first_real_override(cls, name)"),
            "nodes.py": ("NODE_CLASS_MAPPINGS",),
        },
        drafts=True,
    ),
    Contract(
        "sampling",
        "Talking Video fails",
        {
            "comfy/sample.py": (
                "prepare_noise(latent_image, seed)",
                "sample_custom(model, noise, cfg, sampler, sigmas, positive, negative, latent_image, "
                "callback, disable_pbar, seed)",
            ),
            "comfy/samplers.py": ("KSAMPLER",),
            "comfy/latent_formats.py": ("Wan21.process_out(latent)",),
            "node_helpers.py": ("conditioning_set_values(conditioning, values)",),
            "latent_preview.py": ("get_previewer(device, latent_format)",),
        },
    ),
    Contract(
        "loading",
        "Wan2.2 S2V Models fails",
        {
            "comfy/sd.py": (
                "load_diffusion_model(unet_path)",
                "load_lora_for_models(model, clip, lora, strength_model, strength_clip)",
                "load_clip(ckpt_paths, embedding_directory, clip_type, model_options)",
                "VAE.throw_exception_if_invalid",
                "CLIPType.WAN",
            ),
            "comfy/utils.py": ("load_torch_file(ckpt, safe_load)",),
            "comfy/audio_encoders/audio_encoders.py": ("load_audio_encoder_from_sd(sd)",),
            "comfy_extras/nodes_model_advanced.py": ("ModelSamplingSD3.patch(model, shift)",),
        },
    ),
    Contract(
        "server",
        "No node works",
        {
            "server.py": ("PromptServer.routes", "PromptServer.send_progress_text(text, node_id)"),
            "comfy/utils.py": ("ProgressBar.update_absolute(value, total, preview)",),
            "comfy/model_management.py": ("throw_exception_if_processing_interrupted",),
            "comfy/cli_args.py": ("args",),
        },
        drafts=True,
    ),
    Contract(
        "folders",
        "No node works",
        {
            "folder_paths.py": (
                "get_output_directory",
                "get_temp_directory",
                "get_filename_list(folder_name)",
                "get_full_path_or_raise(folder_name, filename)",
                "get_folder_paths(folder_name)",
            )
        },
        drafts=True,
    ),
)


def broken(comfyui: Path) -> list[tuple[Contract, str]]:
    """The contracts that a ComfyUI does not keep, each with a sentence that says what changed.

    Args:
        comfyui: its folder, the one with main.py.
    """
    found = []
    for contract in CONTRACTS:
        changed = [
            what for file, uses in contract.uses.items() for what in _changed(comfyui / file, file, uses)
        ]
        if changed:
            found.append((contract, f"{contract.without}, because {'; '.join(changed)}."))
    return found


def version(comfyui: Path) -> str:
    """The release that a ComfyUI says it is, or `of unknown version`."""
    try:
        said = (comfyui / "comfyui_version.py").read_text(encoding="utf-8")
    except OSError:
        said = ""
    found = re.search(r'__version__ *= *"(.+)"', said)
    return found[1] if found else "of unknown version"


def describe(comfyui: Path, sentences: Iterable[str]) -> str:
    """One line for a ComfyUI that does not fit: what comes of it, and what to do."""
    return (
        f"Story Studio does not fit this ComfyUI ({version(comfyui)}). {' '.join(sentences)} Update Story "
        f"Studio, or use a ComfyUI that it was run on: {', '.join(RUN_ON)}."
    )


def _changed(path: Path, file: str, uses: tuple[str, ...]) -> Iterator[str]:
    try:
        source = path.read_text(encoding="utf-8")
    except OSError:
        yield f"ComfyUI's {file} is gone"
        return
    for use in uses:
        name, _, listed = use.rstrip(")").partition("(")
        owner, _, member = name.rpartition(".")
        found = _find(source, owner or member)
        if found is not None and owner:
            found = _member(found, member)
        if found is None:
            yield f"{name} in ComfyUI's {file} is gone"
        elif lacking := [one for one in listed.split(", ") if listed and not _takes(found, one)]:
            yield f"{name} in ComfyUI's {file} takes no {' and no '.join(lacking)} any more"


@cache
def _find(source: str, name: str) -> ast.stmt | None:
    """A definition, assignment or import at the top of a module; only this part of it is parsed."""
    start = rf"^(?:(?:async )?def|class) {name}\b|^{name} *[:=]|^(?:from .+ )?import .*\b{name}\b"
    if (found := re.search(start, source, re.MULTILINE)) is None:
        # Assigned in a branch, as what depends on the version of PyTorch.
        found = re.search(rf"^ +{name} *=[^=]", source, re.MULTILINE)
        return ast.Pass() if found else None
    end = re.compile(r"^[^\s#)\]}]", re.MULTILINE).search(source, found.end())
    try:
        return ast.parse(source[found.start() : end.start() if end else None]).body[0]
    except SyntaxError:
        # An import of many lines: that it is there is all that can be asked.
        return ast.Pass()


def _member(owner: ast.stmt, name: str) -> ast.AST | None:
    """A method of a class, a class attribute, or an attribute that one of its methods sets."""
    for node in getattr(owner, "body", []):
        if getattr(node, "name", None) == name:
            return node
    for node in ast.walk(owner):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and node.attr == name:
            return node
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and node.id == name:
            return node
    return None


def _takes(function: ast.AST, parameter: str) -> bool:
    arguments = getattr(function, "args", None)
    if not isinstance(arguments, ast.arguments):
        return True
    named = [one.arg for one in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)]
    # A wrapper that hands everything on says nothing about what it takes.
    return parameter in named or (arguments.vararg is not None and arguments.kwarg is not None)
