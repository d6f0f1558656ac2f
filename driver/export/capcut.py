"""Timelines as drafts of CapCut and JianYing.

The format is not published. What is written are the fields that its users have found to be needed, as the
issues of pyCapCut and capcut-cli record them; those libraries are not used, because the first states no
licence and the second is not Python. Transitions are cuts: CapCut's are items of its online library.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from typing import Any

from ..rendering.cut import Cue
from .timeline import Clip, Timeline

_DRAFT_FOLDER = "##_draftpath_placeholder_0E685133-18CE-45ED-8CB8-2904A212EC80_##"
"""What CapCut itself writes for the folder of a draft."""
_VERSION, _NEW_VERSION = 360_000, "110.0.0"
_APP = {"app_id": 359289, "app_source": "cc", "app_version": "5.4.0", "os": "windows"}
_MATERIALS = (
    "ai_translates audio_balances audio_effects audio_fades audio_track_indexes audios beats "
    "canvases chromas color_curves common_mask digital_humans drafts effects flowers green_screens "
    "handwrites hsl images log_color_wheels loudnesses manual_deformations masks material_animations "
    "material_colors multi_language_refs placeholders plugin_effects primary_color_wheels "
    "realtime_denoises shapes smart_crops smart_relights sound_channel_mappings speeds stickers "
    "tail_leaders text_templates texts time_marks transitions video_effects video_trackings videos "
    "vocal_beautifys vocal_separations"
)
"""The lists of a draft's materials, most of them empty."""
_KEYFRAMES = ("adjusts", "audios", "effects", "filters", "handwrites", "stickers", "texts", "videos")
_LAYERS = {"video": 0, "audio": 0, "text": 14_000}
"""The order in which CapCut draws tracks of these kinds."""
_CAPTION_SIZE, _CAPTION_PLACE = 8.0, -0.75
"""CapCut's size, and half screens above the middle."""


def to_draft(timeline: Timeline) -> dict[str, str]:
    """The files of a draft's folder by name. The media are named relative to that folder."""
    return _Draft(timeline).files()


class _Draft:
    def __init__(self, timeline: Timeline):
        self._timeline = timeline
        self._number = 0
        self._materials: dict[str, list[dict[str, Any]]] = {name: [] for name in _MATERIALS.split()}
        self._media: dict[str, dict[str, Any]] = {}

    def files(self) -> dict[str, str]:
        timeline = self._timeline
        tracks = [self._track("video", [self._clip(clip, "videos") for clip in timeline.clips])]
        for clips in (timeline.voices, timeline.music):
            if clips:
                tracks.append(self._track("audio", [self._clip(clip, "audios") for clip in clips]))
        cues = next(iter(timeline.captions.values()), [])
        if cues:
            tracks.append(self._track("text", [self._caption(cue) for cue in cues]))
        content = json.dumps(self._content(tracks), ensure_ascii=False)
        # Windows reads the first name, macOS the second.
        return {
            "draft_content.json": content,
            "draft_info.json": content,
            "draft_meta_info.json": json.dumps(self._about(), ensure_ascii=False),
        }

    def _content(self, tracks: list[dict[str, Any]]) -> dict[str, Any]:
        timeline = self._timeline
        return {
            "canvas_config": {"width": timeline.width, "height": timeline.height, "ratio": "original"},
            "color_space": 0,
            "config": {"adjust_max_index": 1, "maintrack_adsorb": True, "video_mute": False},
            "cover": None,
            "create_time": 0,
            "duration": self._time(timeline.frames),
            "fps": float(timeline.fps),
            "id": self._id(),
            "keyframes": {name: [] for name in _KEYFRAMES},
            "last_modified_platform": _APP,
            "materials": self._materials,
            "name": timeline.title,
            "new_version": _NEW_VERSION,
            "platform": _APP,
            "relationships": [],
            "source": "default",
            "tracks": tracks,
            "update_time": 0,
            "version": _VERSION,
        }

    def _about(self) -> dict[str, Any]:
        # Media that are not listed here too are shown as missing by newer versions.
        media = [
            {
                "create_time": 0,
                "duration": material["duration"],
                "extra_info": file.rpartition("/")[2],
                "file_Path": material["path"],
                "height": material.get("height", 0),
                "id": self._id(),
                "import_time": 0,
                "metetype": "video" if "width" in material else "music",
                "type": 0,
                "width": material.get("width", 0),
            }
            for file, material in self._media.items()
        ]
        return {
            "draft_cover": "",
            "draft_fold_path": "",
            "draft_id": self._id(),
            "draft_is_invisible": False,
            "draft_materials": [
                {"type": kind, "value": media if kind == 0 else []} for kind in (0, 1, 2, 3, 6, 7, 8)
            ],
            "draft_name": f"{self._timeline.name}-capcut",
            "draft_root_path": "",
            "tm_draft_removed": 0,
            "tm_duration": self._time(self._timeline.frames),
        }

    def _clip(self, clip: Clip, kind: str) -> dict[str, Any]:
        if clip.file not in self._media:
            material = {
                "category_name": "local",
                "duration": self._time(clip.available),
                "id": self._id(),
                "path": f"{_DRAFT_FOLDER}/{clip.file}",
            }
            if kind == "videos":
                name = {
                    "material_name": clip.file.rpartition("/")[2],
                    "type": "video",
                    "has_audio": clip.channels > 0,
                }
                material |= {**name, "width": clip.width, "height": clip.height, "crop_scale": 1.0}
            else:
                material |= {"name": clip.file.rpartition("/")[2], "type": "extract_music"}
            self._media[clip.file] = material
            self._materials[kind].append(material)
        speed = {"id": self._id(), "mode": 0, "speed": 1.0, "type": "speed"}
        self._materials["speeds"].append(speed)
        segment = self._segment(self._media[clip.file]["id"], self._span(clip.start, clip.frames))
        segment |= {
            "extra_material_refs": [speed["id"]],
            "source_timerange": self._span(clip.source_start, clip.frames),
            # The voices have a track of their own.
            "volume": 0.0 if kind == "videos" else 1.0,
        }
        return segment

    def _caption(self, cue: Cue) -> dict[str, Any]:
        fill = {
            "alpha": 1.0,
            "content": {"render_type": "solid", "solid": {"alpha": 1.0, "color": [1, 1, 1]}},
        }
        # A range counts as JavaScript does, in UTF-16.
        length = len(cue.text.encode("utf-16-le")) // 2
        content = {"styles": [{"fill": fill, "range": [0, length], "size": _CAPTION_SIZE}], "text": cue.text}
        text = {
            "alignment": 1,
            "content": json.dumps(content, ensure_ascii=False),
            "global_alpha": 1.0,
            "id": self._id(),
            "line_feed": 1,
            "line_max_width": 0.82,
            "type": "subtitle",
        }
        self._materials["texts"].append(text)
        start, end = round(cue.start * 1_000_000), round(cue.end * 1_000_000)
        segment = self._segment(text["id"], {"start": start, "duration": end - start})
        segment["clip"]["transform"]["y"] = _CAPTION_PLACE
        return segment

    def _segment(self, material: str, span: dict[str, int]) -> dict[str, Any]:
        return {
            "clip": {
                "alpha": 1.0,
                "flip": {"horizontal": False, "vertical": False},
                "rotation": 0.0,
                "scale": {"x": 1.0, "y": 1.0},
                "transform": {"x": 0.0, "y": 0.0},
            },
            "common_keyframes": [],
            "extra_material_refs": [],
            "id": self._id(),
            "keyframe_refs": [],
            "material_id": material,
            "reverse": False,
            "source_timerange": None,
            "speed": 1.0,
            "target_timerange": span,
            "visible": True,
            "volume": 1.0,
        }

    def _track(self, kind: str, segments: Sequence[dict[str, Any]]) -> dict[str, Any]:
        layered = [{**segment, "render_index": _LAYERS[kind]} for segment in segments]
        names = {"id": self._id(), "name": "", "is_default_name": True, "type": kind}
        return {"attribute": 0, "flag": 0, **names, "segments": layered}

    def _span(self, start: int, frames: int) -> dict[str, int]:
        first = self._time(start)
        return {"start": first, "duration": self._time(start + frames) - first}

    def _time(self, frames: int) -> int:
        """Frames in microseconds."""
        return round(frames * 1_000_000 / self._timeline.fps)

    def _id(self) -> str:
        """An identifier, the same in every export of the story."""
        self._number += 1
        return str(
            uuid.uuid5(uuid.NAMESPACE_URL, f"story-studio:{self._timeline.name}:{self._number}")
        ).upper()
