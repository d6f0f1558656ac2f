"""How a chunk continues the one before it, with the real VAE in miniature and noise for latents."""

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
LENGTHS = [1, 3, 76, 77, 78, 157, 158, 240]
SIDE = 2
"""Of a clip of 16 pixels, in latents: as small as it gets, because a CPU decodes thirty of these a second."""


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
    """The number of latents in each pass through the decoder."""
    yield from _watch(vae)


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
def test_a_decoder_whose_memory_is_wrong_is_told_from_rounding(
    vae: Any, exact_vae: Any, monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype
) -> None:
    """The bound stands far from both: what other kernels round differently, and what a mistake makes."""
    vae = exact_vae if dtype == torch.float32 else vae
    whole = _whole(vae, 41, width=4)
    with torch.backends.mkldnn.flags(enabled=False):
        rounded = torch.cat(list(_play("latent", vae, 41, width=4)))
    assert difference(rounded, whole) < tolerance(dtype) / 2
    for fault in ("always lost", "lost once", "a pass late", "reversed"):
        with monkeypatch.context() as patch:
            _spoil(vae.first_stage_model.decoder, patch, fault)
            spoilt = torch.cat(list(_play("latent", vae, 41, width=4)))
        assert difference(spoilt, whole) > 2 * tolerance(dtype), fault


def test_reencode_is_the_official_loop(exact_vae: Any) -> None:
    pictures, motions = _official(exact_vae, chunks=2)
    asked: list[Tensor | None] = []
    played = torch.cat(list(_play("reencode", exact_vae, 157, asked=asked)))
    assert_same(played, pictures, torch.float32)
    assert asked[0] is None
    for ours, official in zip(asked[1:], motions, strict=True):
        assert ours is not None and ours.shape == (1, 16, 19, SIDE, SIDE) and ours.dtype == torch.float32
        assert_same(ours, official, torch.float32, dim=2)


def test_latent_hands_on_the_last_latents_as_they_are(vae: Any) -> None:
    asked: list[Tensor | None] = []
    list(_play("latent", vae, 161, asked=asked))
    assert asked[0] is None
    for index, ours in enumerate(asked[1:]):
        assert ours is not None and torch.equal(ours, _latents(index)[:, :, -19:])


def test_pictures_come_before_the_chunk_is_decoded(vae: Any, decoded: list[int]) -> None:
    for kind in KINDS:
        decoded.clear()
        pictures = motion.make(kind, vae, _reference()).decode(_latents(0), next(timeline.chunks(77)))
        # Of what the first pass gives after the reference's, three pictures do not belong to the clip.
        first = len(next(pictures))
        assert decoded == [1, (first + 3) // 4]
        assert first + 3 in (4, 8)


@pytest.mark.parametrize(("kind", "work"), [("reencode", [21, 39, 19 + 10]), ("latent", [21, 20, 10])])
def test_the_decoder_does_no_more_than_needed(
    vae: Any, decoded: list[int], kind: motion.Kind, work: list[int]
) -> None:
    seen = []
    continuity = motion.make(kind, vae, _reference())
    for chunk in timeline.chunks(197):
        decoded.clear()
        continuity.motion()
        list(continuity.decode(_latents(chunk.index), chunk))
        seen.append(sum(decoded))
    assert seen == work


def test_the_last_chunk_is_not_encoded(vae: Any) -> None:
    encoded = []
    hook = vae.first_stage_model.encoder.register_forward_pre_hook(lambda _, x: encoded.append(x[0].shape[2]))
    list(_play("reencode", vae, 78))
    hook.remove()
    assert sum(encoded) == 73


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_held_does_not_grow(vae: Any, kind: motion.Kind) -> None:
    sampling, decoding = [], []
    continuity = motion.make(kind, vae, _reference())
    for chunk in timeline.chunks(80 * 8 - 3):
        continuity.motion()
        sampling.append(_held(continuity, vae))
        list(continuity.decode(_latents(chunk.index), chunk))
        decoding.append(_held(continuity, vae))
    assert sampling[2 - 1] == sampling[4 - 1] == sampling[8 - 1]
    assert decoding[2 - 1] == decoding[4 - 1] == decoding[8 - 1]
    if kind == "reencode":
        assert sampling[-1] == 4 * 16 * 19 * SIDE * SIDE


@pytest.mark.parametrize("latents", [0, 20, 28])
def test_latent_goes_on_in_tiles_when_memory_runs_out(
    exact_vae: Any, monkeypatch: pytest.MonkeyPatch, latents: int
) -> None:
    vae = exact_vae
    chunks = [_latents(0), _latents(1)]
    before = vae.decode(torch.cat([_reference(), *chunks], dim=2))[0, 4:]
    known = [_reference(), chunks[0][:, :, -19:]]
    overlapped = torch.cat(
        [vae.decode(torch.cat(pair, dim=2))[0, -80:] for pair in zip(known, chunks, strict=True)]
    )[3:]
    # The first pass is the reference's; with later decoders each of the others takes two latents.
    at = 1 + (latents > 0) + latents // _latents_a_pass(vae)
    _run_out(vae.first_stage_model.decoder, monkeypatch, at)
    after = torch.cat(list(_play("latent", vae, 157)))
    # A clip this small is one tile. Up to the failure nothing is different, and nothing is missing after it.
    streamed = max(0, 4 * latents - 3)
    assert_same(after, torch.cat([before[:streamed], overlapped[streamed:]]), torch.float32)


@pytest.mark.parametrize("kind", KINDS)
def test_the_tiles_are_those_of_stock(
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
    [("reencode", "a dict"), ("latent", "no such parameter"), ("latent", "half of the pictures")],
)
def test_another_decoder_is_called_for_whole_chunks(
    exact_vae: Any,
    kind: motion.Kind,
    change: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """As a later ComfyUI may have it: the clip comes out all the same, and one line says what is wrong."""
    network = exact_vae.first_stage_model
    forward, decode = network.decoder.forward, network.decode
    expected = torch.cat(list(_play("reencode", exact_vae, 78)))

    def changed(x: Tensor, feat_cache: Any = None, feat_idx: Any = None) -> Any:
        if change == "no such parameter":
            raise TypeError("forward() got an unexpected keyword argument 'feat_cache'")
        made = forward(x, feat_cache=feat_cache, feat_idx=feat_idx)
        made = torch.cat(made, dim=2) if isinstance(made, list) else made
        return {"pictures": made} if change == "a dict" else made[:, :, ::2]

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
    lines = [record.getMessage() for record in caplog.records if "does not fit" in record.getMessage()]
    assert len(lines) == 1 and "Each chunk is decoded in one go, because the VAE's decoder" in lines[0]


def test_memory_that_runs_out_is_known_by_each_of_its_errors(
    vae: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    full, other = (torch.AcceleratorError(f"CUDA error: {what}") for what in ("out of memory", "bad access"))
    _run_out(vae.first_stage_model.decoder, monkeypatch, 3, full)
    assert len(torch.cat(list(_play("latent", vae, 9)))) == 9
    _run_out(vae.first_stage_model.decoder, monkeypatch, 3, other)
    with pytest.raises(torch.AcceleratorError, match="bad access"):
        list(_play("latent", vae, 9))


def test_encoding_goes_on_in_tiles_when_memory_runs_out(vae: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    expected: list[Tensor | None] = []
    list(_play("reencode", vae, 78, asked=expected))
    _run_out(vae.first_stage_model.encoder, monkeypatch, 5)
    asked: list[Tensor | None] = []
    list(_play("reencode", vae, 78, asked=asked))
    assert asked[1] is not None and expected[1] is not None
    assert_same(asked[1], expected[1], torch.bfloat16, dim=2)


def test_interruption_stops_the_decode(vae: Any, decoded: list[int]) -> None:
    pictures = motion.make("latent", vae, _reference()).decode(_latents(0), next(timeline.chunks(77)))
    next(pictures)
    comfy.model_management.interrupt_current_processing()
    with pytest.raises(comfy.model_management.InterruptProcessingException):
        next(pictures)
    assert len(decoded) == 2


@pytest.mark.parametrize("other", [None, "TAESD for pictures", "TAEHV for video"])
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
    kind: motion.Kind, vae: Any, frames: int, *, width: int = SIDE, asked: list[Tensor | None] | None = None
) -> Iterator[Tensor]:
    """A clip of noise; `asked` gets the motion that each chunk continues."""
    continuity = motion.make(kind, vae, _reference(width))
    for chunk in timeline.chunks(frames):
        continued = continuity.motion()
        if asked is not None:
            asked.append(continued)
        yield from continuity.decode(_latents(chunk.index, width), chunk)


def _whole(vae: Any, frames: int, width: int) -> Tensor:
    """The pictures of a clip of noise, with all its latents decoded in one go."""
    latents = [_latents(chunk.index, width)[:, :, : chunk.latents] for chunk in timeline.chunks(frames)]
    # But for the picture of the reference, and the three that the model drops.
    return vae.decode(torch.cat([_reference(width), *latents], dim=2))[0, 4:]


def _spoil(decoder: Any, monkeypatch: pytest.MonkeyPatch, fault: str) -> None:
    """From its second pass on, the decoder remembers something else than what it saw last."""
    forward, past = decoder.forward, []

    def wrong(now: Tensor, old: Any) -> Tensor:
        if fault == "reversed":
            return now.flip(2)
        if fault == "a pass late":
            return old if isinstance(old, Tensor) and old.shape == now.shape else now
        return torch.zeros_like(now) if fault == "always lost" or len(past) == 3 else now

    def spoilt(latents: Tensor, feat_cache: list[Any], feat_idx: list[int]) -> Tensor:
        past.append(list(feat_cache))
        pairs = zip(past[-1], past[max(0, len(past) - 2)], strict=True)
        feat_cache[:] = [wrong(now, old) if isinstance(now, Tensor) else now for now, old in pairs]
        return forward(latents, feat_cache=feat_cache, feat_idx=feat_idx)

    monkeypatch.setattr(decoder, "forward", spoilt)


def _official(vae: Any, chunks: int) -> tuple[Tensor, list[Tensor]]:
    """The pictures, and the motion after each chunk but the last, by the rules of the official pipeline."""
    clip, motions, known = [], [], _reference()
    for index in range(chunks):
        pictures = vae.decode(torch.cat([known, _latents(index)], dim=2))[0, -80:]
        clip.append(pictures if index else pictures[3:])
        known = vae.encode(pictures[-73:])
        motions.append(known)
    return torch.cat(clip), motions[:-1]


def _watch(vae: Any) -> Iterator[list[int]]:
    seen: list[int] = []

    def count(_: Any, latents: tuple[Tensor, ...]) -> None:
        seen.append(latents[0].shape[2])

    hook = vae.first_stage_model.decoder.register_forward_pre_hook(count)
    yield seen
    hook.remove()


def _latents_a_pass(vae: Any) -> int:
    (seen,) = [sizes for sizes in _watch(vae) if sum(map(len, _play("latent", vae, 5))) == 5]
    return max(seen)


def _run_out(
    network: Any,
    monkeypatch: pytest.MonkeyPatch,
    at: int,
    error: Exception | None = None,
) -> None:
    """The `at`-th pass through the network fails, as on a device whose memory is full."""
    forward, passes = network.forward, 0

    def failing(*args: Any, **kwargs: Any) -> Tensor:
        nonlocal passes
        passes += 1
        if passes == at:
            raise error or comfy.model_management.OOM_EXCEPTION("full")
        return forward(*args, **kwargs)

    monkeypatch.setattr(network, "forward", failing)


def _held(root: object, vae: Any) -> int:
    """Bytes of all tensors that can be reached from an object, but for the VAE's own."""
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
