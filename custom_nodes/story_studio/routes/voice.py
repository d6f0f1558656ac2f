"""The routes of the panel's voice tools: what is known of each scene's recording, and a part of one."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

from aiohttp import web

from ..checks.voice import Fault
from ..checks.waveform import Shown, shown
from ..core import folders, server
from ..media.cut_audio import cut_audio
from ..story.numbers import finite
from ..story.problems import Problem, Problems
from ..story.recipes import Nodes
from ..story.voices import Voice, voices_of
from .body import answer, workflow_in

ROUTE = "/story_studio/voice"
CUT_ROUTE = f"{ROUTE}/cut"
_CUT_USAGE = 'Send {"file": a recording as its loader names it, "start": seconds, "end": seconds} as JSON.'
_NO_VOICE = Fault("none", "No recording is linked: choose one, or record it here.")


def add_route() -> None:
    """Lets the server answer POST /story_studio/voice and /story_studio/voice/cut."""
    server.add_post_route(ROUTE, _answer)
    server.add_post_route(CUT_ROUTE, _answer_cut)


def voices(prompt: Nodes) -> dict[str, dict[str, Any]]:
    """What the panel shows of the voices of an API workflow, by the ids of the clips.

    Returns:
        `speaker`, `source`, `loader`, `others`, `film_scene`, `pause`: see `story.voices.Voice`.
        `kind`: the class of the source, or None.
        `name`: the file as its loader names it; `file`: as /view addresses it, or None if it is missing.
        `seconds`, `peaks`, `level`, `speech`, `usable`: see `checks.waveform.Shown`, of a recording.
        `faults`: what is wrong with it, each with its `kind` and a sentence, `text`.

    Raises:
        Problems: the workflow is too large.
    """
    return {clip: _voice(prompt, voice) for clip, voice in voices_of(prompt).items()}


def _voice(prompt: Nodes, voice: Voice) -> dict[str, Any]:
    source = prompt.get(voice.source or "")
    found: dict[str, Any] = {**vars(voice), "kind": source and source["class_type"], "file": None}
    if voice.loader is None:
        return found | _answered(Shown(faults=() if source else (_NO_VOICE,), usable=bool(source)))
    place = folders.loadable(voice.name)
    if place is None:
        name = voice.name or "The recording"
        text = f"{name} is not in ComfyUI's input folder: choose one, or record it here."
        return found | _answered(Shown(faults=(Fault("missing", text),), usable=False))
    path, found["file"] = place
    try:
        now = shown(path)
    except OSError as error:
        text = f"The recording cannot be read: {error.strerror}."
        return found | _answered(Shown(faults=(Fault("unreadable", text),), usable=False))
    faults = tuple(Fault(kind, f"The recording {text}") for kind, text in now.faults)
    return found | _answered(replace(now, faults=faults))


def _answered(now: Shown) -> dict[str, Any]:
    return vars(now) | {"faults": [fault._asdict() for fault in now.faults]}


async def _answer(request: web.Request) -> web.Response:
    return await answer(request, lambda body: partial(voices, workflow_in(body)))


def _cut(name: str, start: float, end: float) -> dict[str, str]:
    place = folders.loadable(name)
    if place is None:
        raise _problem(f"{name} is not in ComfyUI's input folder.")
    try:
        return {"file": cut_audio(place[0], start, end, folders.inputs()).name}
    except ValueError as error:
        raise _problem(str(error)) from None
    # Decoders and PyAV raise anything.
    except Exception:
        text = f"{name} could not be cut: export it again as WAV, and see that the server's disk has room."
        raise _problem(text) from None


def _problem(text: str) -> Problems:
    return Problems([Problem("", text)])


async def _answer_cut(request: web.Request) -> web.Response:
    return await answer(request, lambda body: partial(_cut, *_wanted(body)), _CUT_USAGE)


def _wanted(body: Any) -> tuple[str, float, float]:
    name, start, end = (body.get(key) for key in ("file", "start", "end"))
    numbers = [number for value in (start, end) if (number := finite(value)) is not None]
    if not isinstance(name, str) or len(numbers) != 2 or not 0 <= numbers[0] < numbers[1]:
        raise ValueError("no part of a file")
    return name, numbers[0], numbers[1]
