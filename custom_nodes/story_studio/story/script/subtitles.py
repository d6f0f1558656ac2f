"""Subtitles, SRT and WebVTT: a scene for each sentence, which may be several cues long.

pysubs2 reads both, but drops the speakers of WebVTT, gives no lines, and takes a cue whose time it cannot
read for text of the one before.
"""

from __future__ import annotations

import html
import re
from dataclasses import dataclass
from itertools import groupby

from ..problems import Problem
from .parts import Passage, Script, Spoken, one_line
from .speakers import label_of, speakers_in, spoken_in

_TIME = re.compile(r"(?:(\d{1,4}):)?(\d{1,2}):(\d{2})[.,](\d{1,3})")
_TAGS = re.compile(r"<[^<>]*>|\{\\[^{}]*\}")
_VOICE = re.compile(r"<v(?:\.[^\s<>]*)?\s+([^<>]+)>")
_SOUND = re.compile(r"\[[^\[\]]*\]|\([^()]*\)|♪[^♪]*♪?|#[^#]+#")
_SENTENCE_ENDS = re.compile(r"[.!?…。！？؟۔][\"'”’»)\]]*$")
_NOT_CUES = ("WEBVTT", "NOTE", "STYLE", "REGION")
_LONGEST_GAP = 1.5
"""Seconds between cues of one sentence, at most."""
_LONGEST = 400
"""Characters after which a sentence that does not end is a scene anyway."""
_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.5, 10.0
_SHORTEST_SCENE, _LONGEST_SCENE = 0.5, 600.0


@dataclass
class _Cue:
    line: int
    start: float
    end: float
    text: list[str]
    speaker: str = ""
    sound: str = ""


def read_subtitles(text: str) -> tuple[Script, list[Problem]]:
    """The script in subtitles, and what is wrong with them, each with its line."""
    script, problems = Script(), list[Problem]()
    cues = _cues(text, script, problems)
    speakers = speakers_in([cue.text for cue in cues]) | {
        label.name.casefold()
        for cue in cues
        for line in cue.text
        if (label := label_of(line)) and label.name.isupper()
    }
    end = 0.0
    for cue in cues:
        last = script.passages[-1] if script.passages else None
        gap, end = cue.start - end, cue.end
        said = spoken_in(enumerate(cue.text, cue.line), speakers) if cue.text else []
        for one in said if cue.speaker else []:
            one.speaker = one.speaker or cue.speaker
        if last and said and last.said and gap <= _LONGEST_GAP and _goes_on(last.said[-1], said[0]):
            last.said[-1].text += f" {said[0].text}"
            last.said += said[1:]
            continue
        if last and last.said and gap >= _SHORTEST_PAUSE:
            last.fields["pause_after"] = round(min(gap, _LONGEST_PAUSE), 1)
        passage = Passage(cue.line, said, hint=cue.sound)
        if not said:
            length = min(max(cue.end - cue.start, _SHORTEST_SCENE), _LONGEST_SCENE)
            passage.fields["seconds"] = round(length, 1)
        script.passages.append(passage)
    return script, problems


def _goes_on(before: Spoken, after: Spoken) -> bool:
    return (
        before.speaker == after.speaker
        and not _SENTENCE_ENDS.search(before.text)
        and len(before.text) < _LONGEST
    )


def _cues(text: str, script: Script, problems: list[Problem]) -> list[_Cue]:
    cues: list[_Cue] = []
    lines = ((number, line.strip()) for number, line in enumerate(text.split("\n"), 1))
    for is_text, group in groupby(lines, lambda one: bool(one[1])):
        block = [*group] if is_text else []
        at = next((index for index, (_, line) in enumerate(block[:2]) if "-->" in line), None)
        if at is None:
            is_cue = block and not block[0][1].startswith(_NOT_CUES) and not block[0][1].isdecimal()
            if is_cue and cues:
                cues[-1].text += [line for _, line in block]
            elif is_cue:
                what = "a cue begins with its time, like 00:01:02,500 --> 00:01:04,000: add it."
                problems.append(Problem(f"line {block[0][0]}", what))
            continue
        number, timing = block[at]
        times = [_seconds(part) for part in timing.split("-->")]
        if len(times) != 2 or times[0] is None or times[1] is None:
            what = f"{timing[:60]!r} is not a time: write it like 00:01:02,500 --> 00:01:04,000."
            problems.append(Problem(f"line {number}", what))
            continue
        cues.append(_Cue(number + 1, times[0], times[1], [line for _, line in block[at + 1 :]]))
    for cue in cues:
        _clean(cue)
    for cue in cues:
        if not cue.text and not cue.sound:
            script.leave_out(cue.line - 1, "a cue without text is left out.")
    return [cue for cue in cues if cue.text or cue.sound]


def _clean(cue: _Cue) -> None:
    """Takes markup, the dashes of speakers, and descriptions of sounds out of a cue's text."""
    voice = next(filter(None, map(_VOICE.search, cue.text)), None)
    cue.speaker = html.unescape(one_line(voice[1])) if voice else ""
    written = [html.unescape(_TAGS.sub("", line)) for line in cue.text]
    cue.sound = one_line(" ".join(written)).strip("[]()♪# ")
    said = (re.sub(r"^[-–—]\s*", "", _SOUND.sub(" ", line).strip()) for line in written)
    cue.text = [line for line in map(one_line, said) if line.strip("-–—.:")]


def _seconds(text: str) -> float | None:
    match = _TIME.match(text.strip())
    if not match:
        return None
    hours, minutes, seconds, part = match.groups()
    return int(hours or 0) * 3600 + int(minutes) * 60 + int(seconds) + float(f"0.{part}")
