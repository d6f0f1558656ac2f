"""What a render would reuse, what it would make and why, and how an earlier take is chosen again."""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image

from driver.cli import main
from driver.rendering import dry_run
from driver.rendering.prepare import prepare
from driver.terminal import OK
from story_studio.story.changes import changes
from story_studio.story.results import STORE, Kind
from tests.studio import Studio
from tests.voices import write_voice

WriteStory = Callable[..., Path]


@pytest.fixture
def rendered(
    studio: Studio,
    write_story: WriteStory,
    capsys: pytest.CaptureFixture[str],
    request: pytest.FixtureRequest,
) -> Any:
    """A rendered story of two scenes, which tests change, render again and dry-run."""
    project = request.node.name.replace("[", "-").rstrip("]")[-60:].strip("_-")
    return RenderedStory(write_story([0.5, 0.4], project_id=project), studio, capsys)


class RenderedStory:
    def __init__(self, path: Path, studio: Studio, capsys: pytest.CaptureFixture[str]):
        self.path, self.studio, self.output, self._capsys = path, studio, studio.server.output, capsys
        self.story = yaml.safe_load(path.read_text())
        self.story["seed"] = abs(hash(self.story["project_id"])) % 10**6
        self.render()

    @property
    def scenes(self) -> list[dict[str, Any]]:
        return self.story["scenes"]

    @property
    def manifest(self) -> dict[str, Any]:
        return json.loads((self.output / self.story["project_id"] / "manifest.json").read_text())

    def render(self) -> list[str]:
        """Renders it, and returns which models sampled."""
        self._write()
        self.studio.samples()
        assert self.studio.render(self.path, self.output) == OK
        return [sample["kind"] for sample in self.studio.samples()]

    def forecast(self) -> list[str]:
        """What a render would do, a line for each still, clip and film."""
        self._write()
        self._capsys.readouterr()
        arguments = ["--dry-run", "--server", self.studio.url, "--output", str(self.output)]
        assert main(["render", str(self.path), *arguments]) == OK
        return self._capsys.readouterr().out.splitlines()[:-1]

    def _write(self) -> None:
        self.path.write_text(yaml.safe_dump(self.story, sort_keys=False))


REUSED = [f"scene_{number} {kind}: reused" for kind in ("still", "clip") for number in (1, 2)]
STILL, CLIP = "Lumina2", "WAN22_S2V"


def test_what_is_rendered_would_be_reused(rendered: RenderedStory) -> None:
    assert rendered.forecast() == [*REUSED, "film: reused"]
    assert rendered.render() == []
    scenes = rendered.manifest["scenes"]
    assert all(scene[kind]["reused"] for scene in scenes for kind in ("still", "clip"))
    assert rendered.manifest["film"]["reused"]


def test_a_changed_prompt_is_named_and_affects_only_its_scene(rendered: RenderedStory) -> None:
    rendered.scenes[1]["prompt"] = "A ship at night"
    assert rendered.forecast() == [
        REUSED[0],
        "scene_2 still: made, prompt (Scene 2 -> A ship at night)",
        REUSED[2],
        "scene_2 clip: made, its still changed",
        "film: made, new clips: scene_2",
    ]
    assert rendered.render() == [STILL, CLIP]
    assert rendered.forecast() == [*REUSED, "film: reused"]


def test_another_language_keeps_every_still(rendered: RenderedStory, tmp_path: Path) -> None:
    for number, scene in enumerate(rendered.scenes, start=1):
        scene["audio"] = write_voice(tmp_path / f"other_{number}.wav", 0.6, 220).name
    stills, clips, film = (lines := rendered.forecast())[:2], lines[2:4], lines[4]
    assert stills == REUSED[:2]
    assert all(": made, audio (story_studio/" in line for line in clips)
    assert film == "film: made, new clips: scene_1, scene_2"
    assert rendered.render() == [CLIP, CLIP]


def test_another_seed_or_setting_is_named(rendered: RenderedStory) -> None:
    rendered.scenes[0]["seed"] = 7
    rendered.story["video_settings"]["cfg"] = 2.0
    lines = rendered.forecast()
    assert lines[0].startswith("scene_1 still: made, seed (") and lines[0].endswith("-> 7)")
    assert lines[1] == REUSED[1]
    assert lines[2].startswith("scene_1 clip: made, its still changed; cfg (4.5 -> 2.0), seed (")
    assert lines[3] == "scene_2 clip: made, cfg (4.5 -> 2.0)"


@pytest.mark.parametrize(
    ("change", "sampled"), [("seed", [STILL, CLIP]), ("audio", [CLIP]), ("image", [CLIP]), ("text", [])]
)
def test_a_change_affects_only_its_scene(
    rendered: RenderedStory, change: str, sampled: list[str], tmp_path: Path
) -> None:
    Image.new("RGB", (64, 64), "teal").save(tmp_path / "own.png")
    write_voice(tmp_path / "other.wav", 0.6, 220)
    values = {"seed": 7, "audio": "other.wav", "image": "own.png", "text": "Something else is said."}
    rendered.scenes[1][change] = values[change]
    lines = rendered.forecast()
    assert lines[0] == REUSED[0] and lines[2] == REUSED[2]
    assert sum(": made" in line for line in lines[1:4]) == len(
        {*sampled, "own"} if change == "image" else sampled
    )
    assert lines[4].startswith("film: made")
    assert rendered.render() == sampled


def test_long_settings_are_shown_where_they_differ() -> None:
    scenes = [f"lamp.{number}" for number in range(20)]
    said = changes({"scenes": scenes, "fps": 16}, {"scenes": [*scenes[:9], *scenes[10:]], "fps": 25})
    assert said == (
        'scenes (...8", "lamp.9", "lamp.10", "lamp.11"... -> ...8", "lamp.10", "lamp.11", "lamp.12...), '
        "fps (16 -> 25)"
    )


@pytest.mark.parametrize("change", ["order", "join"])
def test_order_and_film_settings_affect_only_the_film(rendered: RenderedStory, change: str) -> None:
    if change == "order":
        rendered.scenes.reverse()
    else:
        rendered.story["film"] = {"join": "crossfade"}
    lines = rendered.forecast()
    assert sorted(lines[:4]) == sorted(REUSED)
    assert lines[4].startswith(
        "film: made, " + ("scenes (" if change == "order" else "join (cut -> crossfade)")
    )
    assert rendered.render() == []


def test_a_new_scene_and_a_lost_file_are_reported(rendered: RenderedStory) -> None:
    (path,) = (rendered.output / "story_studio" / "clips").glob(
        f"*.{rendered.manifest['scenes'][0]['clip']['key']}.mp4"
    )
    path.unlink()
    rendered.scenes.append({**rendered.scenes[1], "id": "scene_3"})
    lines = rendered.forecast()
    assert lines[3:] == [
        "scene_1 clip: made, its file is gone",
        "scene_2 clip: reused",
        "scene_3 clip: made, the scene is new",
        "film: made, new clips: scene_1, scene_3",
    ]


def test_an_earlier_take_is_kept_and_can_be_chosen_again(
    rendered: RenderedStory, capsys: pytest.CaptureFixture[str]
) -> None:
    before = rendered.manifest["scenes"][0]
    rendered.scenes[0]["seed"] = 8
    rendered.render()
    after = rendered.manifest["scenes"][0]
    assert after["still"]["key"] != before["still"]["key"]
    capsys.readouterr()
    assert main(["takes", "--output", str(rendered.output)]) == OK
    listed = {line.split()[1]: line for line in capsys.readouterr().out.splitlines()}
    assert f"used by {rendered.story['project_id']}" in listed[after["still"]["key"]]
    assert "not used" in listed[before["still"]["key"]]
    assert "seed 8, prompt Scene 1" in listed[after["still"]["key"]]
    rendered.scenes[0] |= {"still_take": before["still"]["key"], "clip_take": before["clip"]["key"]}
    assert rendered.render() == []
    chosen = rendered.manifest["scenes"][0]
    assert [chosen[kind]["sha256"] for kind in ("still", "clip")] == [
        before[kind]["sha256"] for kind in ("still", "clip")
    ]
    # No clip was rendered from that still with the seed that the clip has now, so one is rendered.
    del rendered.scenes[0]["clip_take"]
    assert rendered.render() == [CLIP]


def test_an_earlier_still_brings_back_its_clip(rendered: RenderedStory) -> None:
    before = rendered.manifest["scenes"][0]
    rendered.scenes[0]["prompt"] = "A ship at night"
    assert rendered.render() == [STILL, CLIP]
    rendered.scenes[0]["still_take"] = before["still"]["key"]
    assert rendered.forecast()[:4] == REUSED
    assert rendered.render() == []
    assert rendered.manifest["scenes"][0]["clip"]["key"] == before["clip"]["key"]


def test_choosing_the_still_that_would_be_made_changes_nothing(rendered: RenderedStory) -> None:
    rendered.scenes[0]["still_take"] = rendered.manifest["scenes"][0]["still"]["key"]
    assert rendered.forecast() == [*REUSED, "film: reused"]
    assert rendered.render() == []


def test_a_take_is_used_until_its_settings_change(
    rendered: RenderedStory, capsys: pytest.CaptureFixture[str]
) -> None:
    before = rendered.manifest["scenes"][0]
    rendered.scenes[0]["prompt"] = "A ship at night"
    assert rendered.render() == [STILL, CLIP]
    own = rendered.manifest["scenes"][0]["still"]["key"]
    rendered.scenes[0]["still_take"] = f"{before['still']['key']}@{own}"
    assert rendered.forecast()[:4] == REUSED
    assert rendered.render() == []
    assert rendered.manifest["scenes"][0]["clip"]["key"] == before["clip"]["key"]
    rendered.scenes[0]["prompt"] = "A ship at dawn"
    why = f"the chosen take {before['still']['key']} was made before its settings changed"
    assert rendered.forecast()[0].endswith(why)
    assert rendered.render() == [STILL, CLIP]
    assert f"The chosen take {before['still']['key']} is not used" in capsys.readouterr().err


CHARACTER = {"description": "A keeper of the lamp"}


def test_a_take_that_has_let_go_is_made_and_forgotten_like_others(
    write_story: WriteStory, tmp_path: Path
) -> None:
    def planned(**takes: str) -> tuple[dry_run.Forecast, dict[str, str]]:
        story = yaml.safe_load(write_story([0.2]).read_text("utf-8"))
        story["characters"] = {"keeper": CHARACTER}
        story["image_settings"] = {"reference_workflow": "qwen_image_edit_still.json"}
        story["quality"] = {"retakes": 2}
        (scene,) = story["scenes"]
        scene["prompt"] = "{keeper} on the stairs"
        if take := takes.pop("reference_take", ""):
            story["characters"]["keeper"] = {**CHARACTER, "reference_take": take}
        scene |= takes
        (path := tmp_path / "story.yaml").write_text(yaml.safe_dump(story, sort_keys=False))
        (plan,) = prepare([path], None, Path(tempfile.mkdtemp(dir=tmp_path)))
        (found,) = dry_run.forecast([plan], tmp_path / "films")
        return found, {step.kind: step.why for step in found.steps}

    kept, gone = "a" * 24, "b" * 24
    plain, _ = planned()
    own = {kind: [key for one, key in plain.keys if one is kind] for kind in (Kind.STILL, Kind.CLIP)}
    assert plain.most_retakes == 2
    for name in ("reference_take", "still_take", "clip_take"):
        found, why = planned(**{name: f"{kept}@{gone}"})
        place = {"reference_take": "character sheet", "still_take": "still", "clip_take": "clip"}[name]
        assert why[place] == f"the chosen take {kept} was made before its settings changed"
        assert {kind: [key for one, key in found.keys if one is kind] for kind in own} == own
        assert found.most_retakes == 2
        held, _ = planned(**{name: kept})
        assert kept not in [key for _, key in held.keys] and len(held.keys) < len(plain.keys)
    # One that holds is no more made again than one that always does.
    assert planned(clip_take=kept)[0].most_retakes == 0
    held, _ = planned(clip_take=f"{kept}@{own[Kind.CLIP][0]}")
    assert held.most_retakes == 0 and kept not in [key for _, key in held.keys]


def test_a_missing_take_is_reported(rendered: RenderedStory) -> None:
    rendered.scenes[0]["clip_take"] = "0" * 24
    rendered._write()
    assert rendered.studio.render(rendered.path, rendered.output) != OK
    assert "There is no take '000000000000000000000000'" in rendered.manifest["scenes"][0]["error"]


def test_pruning_keeps_what_the_last_renders_use(
    write_story: WriteStory, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out"
    arguments = ["--workspace", str(tmp_path / "workspace"), "--output", str(output)]
    path = write_story([0.4], "draft")
    assert main(["render", str(path), *arguments]) == OK
    path.write_text(path.read_text().replace("prompt: Scene 1", "prompt: Another"))
    assert main(["render", str(path), *arguments]) == OK
    store = output / "story_studio"
    kinds = ("stills", "clips", "films", "sheets")
    # What films were made from is noted beside them.
    assert [len(list((store / kind).glob("[!.]*"))) for kind in kinds] == [2] * 4
    capsys.readouterr()
    assert main(["takes", "--prune", "--output", str(output)]) == OK
    captured = capsys.readouterr()
    assert captured.out.count("not used") == 4
    assert "8 files; 4 (" in captured.err
    assert [len(list((store / kind).glob("[!.]*"))) for kind in kinds] == [1] * 4
    assert main(["render", str(path), *arguments, "--dry-run"]) == OK
    assert "tale: 0 stills, 0 clips and 0 film would be made." in capsys.readouterr().out
    # With --fresh everything is rendered again, with the same result.
    film = (output / "tale" / "film.mp4").read_bytes()
    assert main(["render", str(path), *arguments, "--fresh"]) == OK
    manifest = json.loads((output / "tale" / "manifest.json").read_text())
    assert [manifest["scenes"][0][kind]["reused"] for kind in ("still", "clip")] == [False, False]
    assert (output / "tale" / "film.mp4").read_bytes() == film


def test_a_dry_run_says_how_models_share_the_memory(
    models: Path, write_story: WriteStory, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    story = write_story([0.3])
    folders = ["--models", str(models), "--output", str(tmp_path / "output"), "--workspace", str(tmp_path)]
    for profile, need in (("draft", "no model has to be in memory"), ("turbo", "needs 3 GB, ")):
        assert main(["render", str(story), "--profile", profile, "--dry-run", *folders]) == OK
        assert f"\nMemory: {need}" in capsys.readouterr().out


def test_pruning_removes_what_a_crash_left(tmp_path: Path) -> None:
    films = tmp_path / STORE / "films"
    for name, hours in ((".film.part-old", 2.0), (".film.part-new", 0.0)):
        (work := films / name).mkdir(parents=True)
        (work / "voices").write_bytes(b"0" * 1000)
        for path in (work / "voices", work):
            os.utime(path, (written := time.time() - 3600 * hours, written))
    assert main(["takes", "--prune", "--output", str(tmp_path)]) == OK
    # Somebody may be writing to the other one.
    assert [path.name for path in films.iterdir()] == [".film.part-new"]
