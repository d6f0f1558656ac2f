"""How chunks continue each other, with a tiny VAE of the real architecture and noise as latents."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.comfy_process import load_vae
from tests.tolerance import assert_same, difference, tolerance

# isort: split
import comfy.model_management
import comfy.sd
from comfy.taesd.taehv import TAEHV
from comfy.taesd.taesd import TAESD
from torch import Tensor

from story_studio.core import wan_vae
from story_studio.s2v import motion, timeline

KINDS: list[motion.Kind] = ["reencode", "latent"]
LENGTHS = [1, 3, 77, 78, 157, 240]
SIDE = 2
"""In latents, 16 pixels: the smallest clip possible, because a CPU decodes thirty such latents a second."""


@pytest.fixture(autouse=True)
def inference() -> Iterator[None]:
    """As ComfyUI runs its nodes."""
    with torch.inference_mode():
        yield


@pytest.fixture(scope="module")
def vae(models: Path) -> Any:
    return load_vae(models / "vae" / "wan_2.1_vae.safetensors", torch.bfloat16)


@pytest.fixture(scope="module")
def exact_vae(models: Path) -> Any:
    return load_vae(models / "vae" / "wan_2.1_vae.safetensors", torch.float32)


@pytest.fixture
def decoded(vae: Any) -> Iterator[list[int]]:
    """The number of latents in each call of the decoder."""
    yield from _count_latents(vae)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("frames", LENGTHS)
def test_a_clip_has_exactly_its_frames(vae: Any, kind: motion.Kind, frames: int) -> None:
    parts = list(_play(kind, vae, frames))
    assert sum(map(len, parts)) == frames
    for part in parts:
        assert part.shape[1:] == (16, 16, 3) and part.dtype == torch.float32 and part.device.type == "cpu"
        assert part.min() >= 0 and part.max() <= 1


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_streamed_decode_equals_one_whole_decode(vae: Any, exact_vae: Any, dtype: torch.dtype) -> None:
    vae = exact_vae if dtype == torch.float32 else vae
    streamed = torch.cat(list(_play("latent", vae, 161, width=4)))
    assert_same(streamed, _whole(vae, 161, width=4), dtype)


@pytest.mark.filterwarnings("ignore:TF32 acceleration")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_decoder_with_wrong_state_is_told_apart_from_rounding(
    vae: Any, exact_vae: Any, monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype
) -> None:
    """The tolerance is far above what other kernels round differently, and far below the effect of a bug."""
    vae = exact_vae if dtype == torch.float32 else vae
    whole = _whole(vae, 41, width=4)
    with torch.backends.mkldnn.flags(enabled=False):
        rounded = torch.cat(list(_play("latent", vae, 41, width=4)))
    assert difference(rounded, whole) < tolerance(dtype) / 2
    for fault in ("always lost", "lost once", "one call late", "reversed"):
        with monkeypatch.context() as patch:
            _spoil(vae.first_stage_model.decoder, patch, fault)
            spoilt = torch.cat(list(_play("latent", vae, 41, width=4)))
        assert difference(spoilt, whole) > 2 * tolerance(dtype), fault


def test_reencode_is_the_official_loop(exact_vae: Any) -> None:
    frames, motions = _official(exact_vae, chunks=2)
    continued: list[Tensor | None] = []
    played = torch.cat(list(_play("reencode", exact_vae, 157, continued=continued)))
    assert_same(played, frames, torch.float32)
    assert continued[0] is None
    for ours, official in zip(continued[1:], motions, strict=True):
        assert ours is not None and ours.shape == (1, 16, 19, SIDE, SIDE) and ours.dtype == torch.float32
        assert_same(ours, official, torch.float32, dim=2)


def test_latent_continues_the_last_latents_unchanged(vae: Any) -> None:
    continued: list[Tensor | None] = []
    list(_play("latent", vae, 161, continued=continued))
    assert continued[0] is None
    for index, ours in enumerate(continued[1:]):
        assert ours is not None and torch.equal(ours, _latents(index)[:, :, -19:])


def test_frames_are_yielded_before_the_chunk_is_decoded(vae: Any, decoded: list[int]) -> None:
    for kind in KINDS:
        decoded.clear()
        frames = motion.make_continuity(kind, vae, _reference()).decode(
            _latents(0), next(timeline.chunks(77))
        )
        # The first call decodes the reference; three frames of the second do not belong to the clip.
        first = len(next(frames))
        assert decoded == [1, (first + 3) // 4]
        assert first + 3 in (4, 8)


@pytest.mark.parametrize(("kind", "work"), [("reencode", [21, 39, 19 + 10]), ("latent", [21, 20, 10])])
def test_the_decoder_decodes_no_more_than_needed(
    vae: Any, decoded: list[int], kind: motion.Kind, work: list[int]
) -> None:
    totals = []
    continuity = motion.make_continuity(kind, vae, _reference())
    for chunk in timeline.chunks(197):
        decoded.clear()
        continuity.motion()
        list(continuity.decode(_latents(chunk.index), chunk))
        totals.append(sum(decoded))
    assert totals == work


def test_the_last_chunk_is_not_encoded(vae: Any) -> None:
    encoded = []
    hook = vae.first_stage_model.encoder.register_forward_pre_hook(lambda _, x: encoded.append(x[0].shape[2]))
    list(_play("reencode", vae, 78))
    hook.remove()
    assert sum(encoded) == 73


@pytest.mark.parametrize("kind", KINDS)
def test_memory_does_not_grow_with_the_clip(vae: Any, kind: motion.Kind) -> None:
    sampling, decoding = [], []
    continuity = motion.make_continuity(kind, vae, _reference())
    for chunk in timeline.chunks(80 * 4 - 3):
        continuity.motion()
        sampling.append(_held(continuity, vae))
        list(continuity.decode(_latents(chunk.index), chunk))
        decoding.append(_held(continuity, vae))
    assert sampling[2 - 1] == sampling[4 - 1]
    assert decoding[2 - 1] == decoding[4 - 1]
    if kind == "reencode":
        assert sampling[-1] == 4 * 16 * 19 * SIDE * SIDE


@pytest.mark.parametrize("latents", [0, 20, 28])
def test_latent_continues_in_tiles_when_memory_runs_out(
    exact_vae: Any, monkeypatch: pytest.MonkeyPatch, latents: int
) -> None:
    vae = exact_vae
    chunks = [_latents(0), _latents(1)]
    streamed = vae.decode(torch.cat([_reference(), *chunks], dim=2))[0, 4:]
    contexts = [_reference(), chunks[0][:, :, -19:]]
    redecoded = torch.cat(
        [vae.decode(torch.cat(pair, dim=2))[0, -80:] for pair in zip(contexts, chunks, strict=True)]
    )[3:]
    # The first call is for the reference; newer decoders take two latents in each of the others.
    at = 1 + (latents > 0) + latents // _latents_per_call(vae)
    _run_out(vae.first_stage_model.decoder, monkeypatch, at)
    played = torch.cat(list(_play("latent", vae, 157)))
    # A clip this small is one tile, so only the loss of the decoder's state shows.
    before_failure = max(0, 4 * latents - 3)
    expected = torch.cat([streamed[:before_failure], redecoded[before_failure:]])
    assert_same(played, expected, torch.float32)


@pytest.mark.parametrize("kind", KINDS)
def test_the_tiles_are_those_of_comfyui(
    exact_vae: Any, monkeypatch: pytest.MonkeyPatch, kind: motion.Kind
) -> None:
    vae = exact_vae
    whole = torch.cat(list(_play(kind, vae, 9, width=40)))
    latents = torch.cat([_reference(40), _latents(0, 40)[:, :, :3]], dim=2)
    with monkeypatch.context() as patch:
        _run_out(vae.first_stage_model.decoder, patch, 1)
        stock = vae.decode(latents)[0]
    _run_out(vae.first_stage_model.decoder, monkeypatch, 1)
    tiled = torch.cat(list(_play(kind, vae, 9, width=40)))
    assert_same(tiled, stock[4:], torch.float32)
    assert difference(tiled, whole) > 2 * tolerance(torch.float32)


@pytest.mark.parametrize(
    ("kind", "change"),
    [("reencode", "a dict"), ("latent", "no such parameter"), ("latent", "half of the frames")],
)
def test_an_unknown_decoder_decodes_whole_chunks(
    exact_vae: Any,
    kind: motion.Kind,
    change: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """As in a future ComfyUI: the clip is the same, and one line in the log says what is wrong."""
    network = exact_vae.first_stage_model
    forward, decode = network.decoder.forward, network.decode
    expected = torch.cat(list(_play("reencode", exact_vae, 78)))

    def changed(x: Tensor, feat_cache: Any = None, feat_idx: Any = None) -> Any:
        if change == "no such parameter":
            raise TypeError("forward() got an unexpected keyword argument 'feat_cache'")
        frames = forward(x, feat_cache=feat_cache, feat_idx=feat_idx)
        frames = torch.cat(frames, dim=2) if isinstance(frames, list) else frames
        return {"frames": frames} if change == "a dict" else frames[:, :, ::2]

    def stock(latents: Tensor) -> Tensor:
        with monkeypatch.context() as patch:
            patch.setattr(network.decoder, "forward", forward)
            return decode(latents)

    monkeypatch.setattr(network.decoder, "forward", changed)
    monkeypatch.setattr(network, "decode", stock)
    played = torch.cat(list(_play(kind, exact_vae, 78)))
    assert len(played) == 78
    first = 77 if kind == "latent" else 78
    assert_same(played[:first], expected[:first], torch.float32)
    lines = [record.getMessage() for record in caplog.records if "not compatible" in record.getMessage()]
    assert len(lines) == 1 and "Each chunk is decoded in one call, because the VAE's decoder" in lines[0]


def test_each_out_of_memory_error_is_recognised(vae: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    full, other = (torch.AcceleratorError(f"CUDA error: {what}") for what in ("out of memory", "bad access"))
    _run_out(vae.first_stage_model.decoder, monkeypatch, 3, full)
    assert len(torch.cat(list(_play("latent", vae, 9)))) == 9
    _run_out(vae.first_stage_model.decoder, monkeypatch, 3, other)
    with pytest.raises(torch.AcceleratorError, match="bad access"):
        list(_play("latent", vae, 9))


def test_encoding_continues_in_tiles_when_memory_runs_out(vae: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    expected: list[Tensor | None] = []
    list(_play("reencode", vae, 78, continued=expected))
    _run_out(vae.first_stage_model.encoder, monkeypatch, 5)
    continued: list[Tensor | None] = []
    list(_play("reencode", vae, 78, continued=continued))
    assert continued[1] is not None and expected[1] is not None
    assert_same(continued[1], expected[1], torch.bfloat16, dim=2)


def test_interruption_stops_the_decode(vae: Any, decoded: list[int]) -> None:
    frames = motion.make_continuity("latent", vae, _reference()).decode(
        _latents(0), next(timeline.chunks(77))
    )
    next(frames)
    comfy.model_management.interrupt_current_processing()
    with pytest.raises(comfy.model_management.InterruptProcessingException):
        next(frames)
    assert len(decoded) == 2


@pytest.mark.parametrize("other", [None, "TAESD for images", "TAEHV for video"])
def test_another_vae_is_refused(vae: Any, other: str | None) -> None:
    wan_vae.require_video_vae(vae)
    wrong = None
    if other:
        network = TAESD(latent_channels=16) if "TAESD" in other else TAEHV(latent_channels=16)
        wrong = comfy.sd.VAE(sd=network.state_dict())
    with pytest.raises(ValueError, match=r"load wan_2\.1_vae\.safetensors"):
        wan_vae.require_video_vae(wrong)


def _latents(index: int, width: int = SIDE, count: int = 20) -> Tensor:
    """A chunk's latents, always the same for the same index."""
    return torch.randn([1, 16, count, SIDE, width], generator=torch.Generator().manual_seed(index))


def _reference(width: int = SIDE) -> Tensor:
    return _latents(1000, width, count=1)


def _play(
    kind: motion.Kind,
    vae: Any,
    frames: int,
    *,
    width: int = SIDE,
    continued: list[Tensor | None] | None = None,
) -> Iterator[Tensor]:
    """Decodes a clip of noise; appends the motion that each chunk continues to `continued`."""
    continuity = motion.make_continuity(kind, vae, _reference(width))
    for chunk in timeline.chunks(frames):
        previous = continuity.motion()
        if continued is not None:
            continued.append(previous)
        yield from continuity.decode(_latents(chunk.index, width), chunk)


def _whole(vae: Any, frames: int, width: int) -> Tensor:
    """The frames of a clip of noise, decoded in a single call."""
    latents = [_latents(chunk.index, width)[:, :, : chunk.latents] for chunk in timeline.chunks(frames)]
    # Without the frame of the reference and the three that the model discards.
    return vae.decode(torch.cat([_reference(width), *latents], dim=2))[0, 4:]


def _spoil(decoder: Any, monkeypatch: pytest.MonkeyPatch, fault: str) -> None:
    """Corrupts the state of the decoder before each call but the first."""
    forward, states = decoder.forward, []

    def corrupt(now: Tensor, old: Any) -> Tensor:
        if fault == "reversed":
            return now.flip(2)
        if fault == "one call late":
            return old if isinstance(old, Tensor) and old.shape == now.shape else now
        return torch.zeros_like(now) if fault == "always lost" or len(states) == 3 else now

    def spoilt(latents: Tensor, feat_cache: list[Any], feat_idx: list[int]) -> Tensor:
        states.append(list(feat_cache))
        pairs = zip(states[-1], states[max(0, len(states) - 2)], strict=True)
        feat_cache[:] = [corrupt(now, old) if isinstance(now, Tensor) else now for now, old in pairs]
        return forward(latents, feat_cache=feat_cache, feat_idx=feat_idx)

    monkeypatch.setattr(decoder, "forward", spoilt)


def _official(vae: Any, chunks: int) -> tuple[Tensor, list[Tensor]]:
    """The frames, and the motion after each chunk but the last, computed like the official pipeline."""
    clip, motions, context = [], [], _reference()
    for index in range(chunks):
        frames = vae.decode(torch.cat([context, _latents(index)], dim=2))[0, -80:]
        clip.append(frames if index else frames[3:])
        context = vae.encode(frames[-73:])
        motions.append(context)
    return torch.cat(clip), motions[:-1]


def _count_latents(vae: Any) -> Iterator[list[int]]:
    counts: list[int] = []

    def count(_: Any, latents: tuple[Tensor, ...]) -> None:
        counts.append(latents[0].shape[2])

    hook = vae.first_stage_model.decoder.register_forward_pre_hook(count)
    yield counts
    hook.remove()


def _latents_per_call(vae: Any) -> int:
    (counts,) = [counts for counts in _count_latents(vae) if sum(map(len, _play("latent", vae, 5))) == 5]
    return max(counts)


def _run_out(
    network: Any,
    monkeypatch: pytest.MonkeyPatch,
    at: int,
    error: Exception | None = None,
) -> None:
    """Makes the `at`-th call of the network fail as on a device whose memory is full."""
    forward, calls = network.forward, 0

    def failing(*args: Any, **kwargs: Any) -> Tensor:
        nonlocal calls
        calls += 1
        if calls == at:
            raise error or comfy.model_management.OOM_EXCEPTION("full")
        return forward(*args, **kwargs)

    monkeypatch.setattr(network, "forward", failing)


def _held(root: object, vae: Any) -> int:
    """Bytes of all tensors reachable from an object, except those of the VAE."""
    storages: dict[int, int] = {}
    todo, seen = [root], {id(vae)}
    while todo:
        item = todo.pop()
        if id(item) in seen:
            continue
        seen.add(id(item))
        if isinstance(item, Tensor):
            storages[item.untyped_storage().data_ptr()] = item.untyped_storage().nbytes()
        elif isinstance(item, (list, tuple, deque)):
            todo += item
        elif isinstance(item, dict):
            todo += item.values()
        elif hasattr(item, "__dict__"):
            todo += vars(item).values()
    return sum(storages.values())
