"""The internals of ComfyUI that the pack relies on, and a check whether a ComfyUI still has them.

Each contract belongs to one module beside this file, the only one that uses those names. The check reads the
sources for the names and their parameters, in less than a tenth of a second and without importing anything.
What it cannot read, such as a class imported from elsewhere, counts as present. `tests/core` checks on each
ComfyUI version that the internals also behave as expected.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from .definitions import changes, read

RUN_ON = ("0.3.75", "0.11.0", "0.17.0", "0.18.1", "0.33.0")
"""Releases of ComfyUI on which the tests of all contracts pass."""


@dataclass(frozen=True)
class Contract:
    """What one module relies on. `CONTRACTS` has the most fragile ones first.

    Attributes:
        module: the module in `core`.
        without: the consequence for the user if it is broken.
        uses: names by file of ComfyUI: `name`, `Class.member`, or either with the parameters that are passed
            by keyword, `name(a, b)`. A member is a method or an attribute.
        drafts: whether drafts, which need no model, depend on it too.
    """

    module: str
    without: str
    uses: dict[str, tuple[str, ...]]
    drafts: bool = False


CONTRACTS = (
    Contract(
        "wan_vae",
        "Talking Video takes more memory",
        {
            "comfy/ldm/wan/vae.py": (
                "WanVAE.conv2",
                "WanVAE.decoder",
                "WanVAE.encoder",
                "Decoder3d.forward(feat_cache, feat_idx)",
                "Decoder3d.middle",
                "Decoder3d.upsamples",
                "Decoder3d.head",
                "Resample.mode",
            ),
            "comfy/sd.py": (
                "VAE.decode",
                "VAE.decode_tiled(tile_x, tile_y, overlap)",
                "VAE.encode",
                *(f"VAE.{name}" for name in ("first_stage_model", "latent_channels", "patcher", "device")),
                *(f"VAE.{name}" for name in ("output_device", "vae_dtype", "memory_used_decode")),
                *(f"VAE.{name}" for name in ("disable_offload", "process_output")),
            ),
            "comfy/model_management.py": ("load_models_gpu(memory_required, force_full_load)",),
        },
    ),
    Contract(
        "video",
        "Clip and Film fail",
        {
            "comfy_api/latest/_input_impl/video_types.py": ("VideoFromFile",),
            "comfy_api/latest/_input/video_types.py": (
                "VideoInput.get_stream_source",
                "VideoInput.get_duration",
                "VideoInput.get_dimensions",
                "VideoInput.save_to",
            ),
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
                "WanModel_S2V.forward_orig",
                "WanModel.rope_embedder",
                "WanModel.text_dim",
                "CausalAudioEncoder.forward",
                "CausalAudioEncoder.weights",
                "CausalAudioEncoder.encoder",
                "MotionEncoder_tc.conv1_local",
                "CausalConv1d.conv",
                "FramePackMotioner.forward",
            ),
            "comfy/model_base.py": ("WAN22_S2V.extra_conds", "BaseModel.diffusion_model"),
            "comfy/model_sampling.py": ("ModelSamplingDiscreteFlow.timestep",),
            "comfy/model_patcher.py": (
                "ModelPatcher.clone",
                "ModelPatcher.add_object_patch",
                "ModelPatcher.object_patches",
                "ModelPatcher.get_model_object",
                "ModelPatcher.load_device",
            ),
        },
    ),
    Contract(
        "memory",
        "Talking Video fails when memory runs out",
        {"comfy/model_management.py": ("OOM_EXCEPTION", "soft_empty_cache", "cleanup_models")},
    ),
    Contract(
        "output_cache",
        "The models of stills stay in memory while clips are rendered, and finished stories end as partial",
        {
            "execution.py": ("CacheSet.outputs", "execute(caches, execution_list, ui_outputs)"),
            "comfy_execution/graph.py": ("ExecutionList.is_cached", "TopologicalSort.add_node"),
            "comfy_execution/caching.py": (
                "BasicCache.cache",
                "BasicCache.cache_key_set",
                "BasicCache.subcaches",
                "CacheKeySet.get_data_key",
            ),
            "comfy/model_patcher.py": ("ModelPatcher",),
        },
    ),
    Contract(
        "text_encoder",
        "Stills and Wan2.2 S2V Models fail",
        {
            "comfy/sd.py": (
                "CLIP.__init__(no_init)",
                *(f"CLIP.{name}" for name in ("patcher", "cond_stage_model", "layer_idx")),
                *(f"CLIP.{name}" for name in ("tokenizer", "tokenizer_options", "tokenize")),
                *(f"CLIP.{name}" for name in ("load_model", "clone")),
                *(f"CLIP.{name}" for name in ("encode_from_tokens", "encode_from_tokens_scheduled")),
                *(f"CLIP.{name}" for name in ("add_patches", "get_sd", "get_key_patches")),
            ),
        },
    ),
    Contract(
        "wan_tokenizer",
        "Wan2.2 S2V Models fails",
        {
            "comfy/sd1_clip.py": (
                "SD1Tokenizer.clip_name",
                "SD1Tokenizer.tokenize_with_weights",
                "SD1Tokenizer.untokenize",
            ),
            "comfy/text_encoders/wan.py": ("WanT5Tokenizer",),
        },
    ),
    Contract(
        "device",
        "No node works",
        {
            "comfy/model_management.py": ("get_torch_device", "get_torch_device_name"),
            "comfy/cli_args.py": ("args",),
        },
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
            "comfy/model_management.py": ("load_model_gpu",),
        },
    ),
    Contract(
        "execution",
        "No node works",
        {
            "execution.py": ("IsChangedCache.get",),
            "comfy_execution/graph.py": (
                "DynamicPrompt.get_node",
                "DynamicPrompt.all_node_ids",
                "NodeNotFoundError",
                "get_input_info",
            ),
            "comfy_execution/utils.py": ("get_executing_context",),
            "folder_paths.py": ("exists_annotated_filepath", "get_annotated_filepath"),
            "comfy_api/internal/__init__.py": ("_ComfyNodeInternal", "first_real_override"),
            "nodes.py": ("NODE_CLASS_MAPPINGS",),
        },
        drafts=True,
    ),
    Contract(
        "sampling",
        "Talking Video fails",
        {
            "comfy/sample.py": (
                "prepare_noise",
                "sample_custom(callback, disable_pbar, seed)",
            ),
            "comfy/samplers.py": ("KSAMPLER",),
            "comfy/latent_formats.py": ("Wan21.process_out",),
            "node_helpers.py": ("conditioning_set_values",),
            "latent_preview.py": ("get_previewer", "LatentPreviewer.decode_latent_to_preview_image"),
        },
    ),
    Contract(
        "loading",
        "Wan2.2 S2V Models fails",
        {
            "comfy/sd.py": (
                "load_diffusion_model",
                "load_lora_for_models",
                "load_clip(embedding_directory, clip_type, model_options)",
                "VAE.throw_exception_if_invalid",
                "CLIPType.WAN",
            ),
            "nodes.py": ("CLIPLoader.load_clip(clip_name, type, device)", "CLIPLoader.INPUT_TYPES"),
            "comfy/utils.py": ("load_torch_file(safe_load)",),
            "comfy/audio_encoders/audio_encoders.py": ("load_audio_encoder_from_sd",),
            "comfy_extras/nodes_model_advanced.py": ("ModelSamplingSD3.patch",),
        },
    ),
    Contract(
        "server",
        "No node works",
        {
            "server.py": (
                "PromptServer.routes",
                "PromptServer.send_progress_text",
                "PromptServer.send_sync",
                "PromptServer.client_id",
            ),
            "comfy_execution/utils.py": ("get_executing_context",),
            "comfy/utils.py": ("ProgressBar.__init__(node_id)", "ProgressBar.update_absolute"),
            "comfy/model_management.py": (
                "InterruptProcessingException",
                "throw_exception_if_processing_interrupted",
            ),
            "comfy/cli_args.py": ("args",),
        },
        drafts=True,
    ),
    Contract(
        "progress",
        "No node works",
        {
            "comfy_execution/progress.py": (
                "add_progress_handler",
                "get_progress_state",
                "NodeState.Running",
                "ProgressHandler.set_registry",
                "ProgressHandler.finish_handler",
                "ProgressRegistry.nodes",
                "ProgressRegistry.prompt_id",
                "ProgressRegistry.dynprompt",
                "NodeProgressState",
            ),
            "comfy_execution/graph.py": ("DynamicPrompt.get_display_node_id",),
        },
        drafts=True,
    ),
    Contract(
        "prompts",
        "No node works",
        {
            "server.py": (
                "PromptServer.add_on_prompt_handler",
                "PromptServer.trigger_on_prompt",
                "PromptServer.sockets_metadata",
            ),
            "execution.py": ("validate_prompt(partial_execution_list)",),
            "nodes.py": ("NODE_CLASS_MAPPINGS",),
            "comfy/cli_args.py": ("args",),
        },
        drafts=True,
    ),
    Contract(
        "queue",
        "No node works",
        {
            "execution.py": (
                "validate_prompt(partial_execution_list)",
                "PromptQueue.put",
                "PromptQueue.get_current_queue_volatile",
                "PromptQueue.get_history(prompt_id, max_items, map_function)",
                "PromptQueue.set_flag",
            ),
            "server.py": ("PromptServer.prompt_queue",),
        },
        drafts=True,
    ),
    Contract("samples", "The examples lack their files", {"folder_paths.py": ("get_input_directory",)}),
    Contract("tasks", "No node works", {"server.py": ("PromptServer.loop",)}, drafts=True),
    Contract(
        "expansion",
        "Masters that a recipe makes fail",
        {
            "execution.py": ("PromptExecutor.execute", "PromptExecutor.execute_async"),
            "comfy_execution/graph.py": ("DynamicPrompt.get_node",),
            "nodes.py": ("NODE_CLASS_MAPPINGS",),
        },
    ),
    Contract(
        "folders",
        "No node works",
        {
            "folder_paths.py": (
                "get_output_directory",
                "get_input_directory",
                "get_temp_directory",
                "annotated_filepath",
                "get_filename_list",
                "get_full_path_or_raise",
                "get_folder_paths",
                "get_full_path",
            )
        },
        drafts=True,
    ),
)


def broken(comfyui: Path) -> list[tuple[Contract, str]]:
    """The contracts that a ComfyUI breaks, each with a sentence that says what changed.

    Args:
        comfyui: its folder, the one with main.py.
    """
    result = []
    for contract in CONTRACTS:
        found = [
            change for file, uses in contract.uses.items() for change in changes(comfyui / file, file, uses)
        ]
        if found:
            result.append((contract, f"{contract.without}, because {'; '.join(found)}."))
    return result


def version(comfyui: Path) -> str:
    """The release of a ComfyUI, or `of unknown version`."""
    match = re.search(r"""__version__ *= *["'](.+)["']""", read(comfyui / "comfyui_version.py") or "")
    return match[1] if match else "of unknown version"


def describe(comfyui: Path, sentences: Iterable[str]) -> str:
    """One line about an incompatible ComfyUI: the consequences, and what to do."""
    return (
        f"Story Studio is not compatible with this ComfyUI ({version(comfyui)}). {' '.join(sentences)} "
        f"Update Story Studio, or use a ComfyUI that it was tested on: {', '.join(RUN_ON)}."
    )
