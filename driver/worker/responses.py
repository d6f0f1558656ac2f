"""What the endpoint answers: from a render's manifest to the response fields of each task."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..rendering.progress import PHASES, Status
from . import schema

Answer = dict[str, Any]


def of_one(job: schema.ImageJob | schema.VideoJob, manifest: Answer, urls: Mapping[str, str]) -> Answer:
    """The answer to an image or video job; `urls` are addresses by the names of files."""
    (scene,) = manifest["scenes"]
    if "error" in scene:
        return {"error": scene["error"]}
    kind = "still" if isinstance(job, schema.ImageJob) else "clip"
    made = scene[kind]
    answer = {"image_url" if kind == "still" else "video_url": urls[made["file"]], "seed": scene["seed"]}
    answer |= {name: made[name] for name in ("sha256", "bytes")} | _of(manifest)
    if isinstance(job, schema.VideoJob):
        sizes = {name: made[name] for name in ("width", "height")}
        return answer | sizes | {"duration": made["seconds"], "resolution": job.resolution}
    return answer | {"width": job.width, "height": job.height}


def of_batch(manifest: Answer, urls: Mapping[str, str]) -> Answer:
    """The answer to a batch; an error if not one scene was finished."""
    scenes = []
    for scene in manifest["scenes"]:
        entry = {"id": scene["id"], "seed": scene["seed"]}
        for kind, name in (("still", "image"), ("clip", "video")):
            if made := scene.get(kind):
                entry |= {f"{name}_url": urls[made["file"]], f"{name}_sha256": made["sha256"]}
                if kind == "clip":
                    entry |= {"duration": made["seconds"], "width": made["width"], "height": made["height"]}
        scenes.append(entry | ({"error": scene["error"]} if "error" in scene else {}))
    spent = manifest["seconds"]
    answer = {"project_id": manifest["project_id"], "status": manifest["status"], "scenes": scenes}
    for name, made in (("film", manifest["film"]), ("storyboard", manifest["storyboard"])):
        answer |= {f"{name}_url": urls[made["file"]], f"{name}_sha256": made["sha256"]} if made else {}
    times = {"total_time": spent["total"], "images_time": spent["stills"], "videos_time": spent["clips"]}
    answer |= {"manifest_url": urls["manifest.json"]} | times | _of(manifest)
    if manifest["status"] == "failed":
        reasons = "; ".join(f"{scene['id']}: {scene['error']}" for scene in scenes if "error" in scene)
        answer["error"] = f"No scene was finished. {reasons}"
    return answer


def progress(status: Status) -> Answer:
    """What a client sees of a job while it runs: phase, scene, how much is done, seconds that are left."""
    left = status.seconds_left
    return {
        "phase": PHASES[status.phase],
        "scene": status.scene,
        "done": status.done,
        "total": status.total,
        "percent": round(status.percent, 1),
        "seconds_left": None if left is None else round(left),
    }


def _of(manifest: Answer) -> Answer:
    return {name: manifest[name] for name in ("warnings", "seconds", "model_loads")}
