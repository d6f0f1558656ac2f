"""What a workflow job may do, judged with the classes of the real server."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from driver.comfy.instance import ComfyInstance
from driver.storage.folder import FolderStore
from driver.worker import policy
from driver.worker.jobs import Worker
from driver.worker.leads import Folders
from driver.worker.playlists import refuse_playlist
from tests.studio import Studio
from tests.worker.tools import ANOTHER_JOB_S, OUTSIDE, Judge, Nodes, color, empty_image, node, png, save


def linked(class_type: str = "PrimitiveString", **inputs: Any) -> Callable[[str], tuple[Any, Nodes]]:
    """A value that comes from another node; `TEXT` in its inputs stands for the text."""

    def place(text: str) -> tuple[Any, Nodes]:
        given = {name: text if value == "TEXT" else value for name, value in inputs.items()}
        return ["9", 0], {"9": node(class_type, **given)}

    return place


def written(text: str) -> tuple[Any, Nodes]:
    return text, {}


FILE_INPUTS = [
    *(("LoadImage", "image"), ("LoadImageMask", "image"), ("LoadImageOutput", "image")),
    *(("LoadAudio", "audio"), ("LoadVideo", "file"), ("LoadLatent", "latent")),
    *(("WebcamCapture", "image"), ("RecordAudio", "audio"), ("Load3D", "model_file"), ("Load3D", "image")),
]
FILE_TRICKS: dict[str, tuple[str, Callable[[str], tuple[Any, Nodes]]]] = {
    "absolute": (OUTSIDE, written),
    "above": ("../../private.png", written),
    "above from a folder": ("3d/../../private.png", written),
    "annotated": ("../private.png [input]", written),
    "annotated twice": (f"{ANOTHER_JOB_S} [output] [input]", written),
    "annotated without a blank": ("/abs/pathX[input]", written),
    "backslashes": ("..\\..\\private.png", written),
    "a drive": ("C:\\private.png", written),
    "a share": ("\\\\host\\share\\private.png", written),
    "home": ("~/private.png", written),
    "NUL": ("a.png\0.txt", written),
    "an address": ("http://10.0.0.1/a.png", written),
    "a file address": ("file:///abs/path/private.png", written),
    "FFmpeg's concat": ("concat:/abs/path/private.wav|a.wav", written),
    "FFmpeg's subfile": ("subfile,,start,0,end,9,,:/abs/path/private.wav", written),
    "another job's result": ("ComfyUI_00001_.png [output]", written),
    "another job's preview": ("ComfyUI_temp_abcde_00001_.png[temp]", written),
    "a finished story": ("story_studio/stills/still.0123456789ab0123456789ab.png [output]", written),
    "another job's file": (ANOTHER_JOB_S, written),
    "FFmpeg's numbered images": (ANOTHER_JOB_S.replace("7", "%d"), written),
    "another story's file": (f"story_studio/{ANOTHER_JOB_S}", written),
    "another job's file, spelled otherwise": (f"./story_studio//{ANOTHER_JOB_S} [input]", written),
    "a wrapped text": (OUTSIDE, lambda text: ({"__value__": text}, {})),
    "a list": (OUTSIDE, lambda text: ([[text]], {})),
    "a key": (OUTSIDE, lambda text: ({"a": {text: 1}}, {})),
    "an object": (OUTSIDE, lambda text: ({"recording": text, "camera_info": {}}, {})),
    "linked": (OUTSIDE, linked(value="TEXT")),
    "linked lines": (OUTSIDE, linked("PrimitiveStringMultiline", value="TEXT")),
    "linked twice": (
        OUTSIDE,
        lambda text: (
            ["8", 0],
            {"8": node("PrimitiveString", value=["9", 0]), "9": node("PrimitiveString", value=text)},
        ),
    ),
    "a link and a circle": (OUTSIDE, lambda text: (["9", 0], {"9": node("CaseConverter", string=["9", 0])})),
    "a wrapped link": (
        OUTSIDE,
        lambda text: ({"__value__": ["9", 0]}, {"9": node("PrimitiveString", value=text)}),
    ),
    "joined": ("path", linked("StringConcatenate", string_a="/abs/", string_b="TEXT", delimiter="")),
    "replaced": ("a", linked("StringReplace", string="TEXT", find="a", replace="/abs/path")),
    "cut": ("xx/abs", linked("StringSubstring", string="TEXT", start=2, end=6)),
    "trimmed": (" /abs", linked("StringTrim", string="TEXT", mode="Both")),
    "in lower case": ("/ABS", linked("CaseConverter", string="TEXT", mode="lowercase")),
}


@pytest.mark.parametrize("trick", FILE_TRICKS)
def test_no_node_reads_outside_the_input_folder_or_another_job_s_files(judge: Judge, trick: str) -> None:
    text, place = FILE_TRICKS[trick]
    for class_type, name in FILE_INPUTS:
        value, more = place(text)
        (problem,) = judge({"1": node(class_type, **{name: value}), **more})
        assert problem.where == f"workflow.1.inputs.{name}", problem
        assert problem.what.startswith(f"{class_type}: "), problem
        assert problem.what.endswith(".")


PREFIX_CLASSES = [
    *("SaveImage", "SaveAnimatedPNG", "SaveAnimatedWEBP", "SaveLatent", "SaveVideo", "SaveWEBM"),
    *("SaveAudio", "SaveAudioMP3", "SaveAudioOpus", "SaveGLB", "SaveSVGNode"),
]
PREFIX_TRICKS: dict[str, tuple[str, Callable[[str], tuple[Any, Nodes]]]] = {
    "absolute": ("/abs/path/x", written),
    "above": ("../../x", written),
    "above from a dated folder": ("%year%/../../x", written),
    "backslashes": ("a\\..\\..\\x", written),
    "home": ("~root/x", written),
    "a drive": ("D:/x", written),
    "NUL": ("x\0", written),
    "a line break, which no header may have": ("x\ny", written),
    "only dots": ("..", written),
    "finished stories": ("story_studio/stills/x", written),
    "finished stories, spelled otherwise": ("./a/.././Story_Studio/store/x", written),
    "the store": ("a//./../story_studio/store/StoryStudio/workflow/job/x", written),
    "wrapped": ("../x", lambda text: ({"__value__": text}, {})),
    "linked": ("../x", linked(value="TEXT")),
    "joined": ("x", linked("StringConcatenate", string_a="../", string_b="TEXT", delimiter="")),
    "a wrapped link": (
        "../x",
        lambda text: ({"__value__": ["9", 0]}, {"9": node("PrimitiveString", value=text)}),
    ),
    "in a list": ("../x", lambda text: ([text], {})),
    "a key, which becomes a part of a text": ("/../story_studio/x", lambda text: ({text: 1}, {})),
}


@pytest.mark.parametrize("trick", PREFIX_TRICKS)
def test_no_node_writes_outside_the_output_folder_or_into_finished_stories(judge: Judge, trick: str) -> None:
    text, place = PREFIX_TRICKS[trick]
    for class_type in PREFIX_CLASSES:
        value, more = place(text)
        (problem,) = judge({"1": node(class_type, filename_prefix=value), **more})
        assert problem.where == "workflow.1.inputs.filename_prefix", problem
        assert problem.what.startswith(f"{class_type}: "), problem


def test_symbolic_links_are_followed(judge: Judge, tmp_path: Path) -> None:
    folders = Folders(tmp_path / "input", tmp_path / "output")
    for folder in (*folders, tmp_path / "elsewhere", folders.input / "inside"):
        folder.mkdir()
    (folders.input / "inside/a.png").touch()
    (tmp_path / "elsewhere/a.png").touch()
    (folders.input / "good").symlink_to("inside")
    (folders.input / "bad").symlink_to(tmp_path / "elsewhere")
    (folders.input / "bad.png").symlink_to(tmp_path / "elsewhere/a.png")
    (folders.output / "bad").symlink_to(tmp_path / "elsewhere")

    def where(class_type: str, **inputs: Any) -> list[str]:
        nodes = {"1": node(class_type, **inputs)}
        return [place for place, _ in judge(nodes, folders=folders, allow="TestRaise")]

    assert where("LoadImage", image="good/a.png") == []
    for image in ("bad/a.png", "bad.png [input]", "inside/..//bad.png"):
        assert where("LoadImage", image=image) == ["workflow.1.inputs.image"]
    assert where("SaveImage", filename_prefix="bad/x") == ["workflow.1.inputs.filename_prefix"]
    assert where("SaveImage", filename_prefix="new/x") == []
    assert where("TestRaise", message="bad/a.png") == ["workflow.1.inputs.message"]
    assert where("TestRaise", message="good/a.png") == []


REFUSED = [
    *("LoadImageDataSetFromFolder", "LoadImageTextDataSetFromFolder", "LoadTrainingDataset"),
    *("SaveImageDataSetToFolder", "SaveImageTextDataSetToFolder", "SaveTrainingDataset"),
    *(
        "CheckpointSave",
        "ImageOnlyCheckpointSave",
        "ModelSave",
        "CLIPSave",
        "VAESave",
        "LoraSave",
        "SaveLoRA",
    ),
    *("RegexMatch", "RegexExtract", "RegexReplace"),
]


@pytest.mark.parametrize("class_type", REFUSED)
def test_a_refused_class_says_why_and_how_its_owner_allows_it(judge: Judge, class_type: str) -> None:
    nodes = {"1": {**node(class_type, folder_name="set"), "_meta": {"title": "My node"}}}
    (problem,) = judge(nodes)
    assert problem.where == "workflow.1.class_type"
    assert problem.what.startswith(f"My node ({class_type}): a job may not use this node: ")
    assert problem.what.endswith(f"The endpoint's owner can allow it with WORKFLOW_ALLOW_NODES={class_type}.")
    # All classes of a pattern that were not reviewed, but none that was and is refused.
    assert judge(nodes, allow="*") == [problem]
    assert judge(nodes, allow=f"Other, {class_type}") == []
    outside = {"1": node(class_type, folder_name="/abs/path")}
    (problem,) = judge(outside, allow=class_type)
    assert problem.where == "workflow.1.inputs.folder_name"


def test_a_class_that_was_not_reviewed_needs_its_owner_and_is_watched(judge: Judge) -> None:
    nodes = {"1": node("TestRaise", message="a/b.png", when="fail")}
    (problem,) = judge(nodes)
    assert problem.where == "workflow.1.class_type"
    assert problem.what == (
        "TestRaise: this node of the pack tiny_pack was not reviewed, and a job may use only nodes that "
        "were. The endpoint's owner can allow it with WORKFLOW_ALLOW_NODES=TestRaise."
    )
    for allow in ("TestRaise", "Some, Test*", "tiny_pack", "*"):
        assert judge(nodes, allow=allow) == []
    for allow in ("testraise", "Test", "other_pack"):
        assert judge(nodes, allow=allow) == [problem]
    for text in (
        *(
            "/abs/path",
            "../up",
            "a/../../b",
            "~/x",
            "C:\\x",
            "x\0y",
            '"/abs/quoted"',
            "one line\n/abs/second",
        ),
        *("https://host/x", "concat:/a", "FILE:/a", "a.png [output]", "a.png[temp]"),
        *(ANOTHER_JOB_S, f"story_studio/{ANOTHER_JOB_S}"),
    ):
        for value, more in (written(text), linked(value="TEXT")(text), ({"deep": [[{"x": text}]]}, {})):
            (problem,) = judge({"1": node("TestRaise", message=value), **more}, allow="TestRaise")
            assert problem.where == "workflow.1.inputs.message", text
    for text in ("A hero: he stands. And/or sits...", "(best:1.2), 16:9", "it's 5/6", "", "x\ny"):
        assert judge({"1": node("TestRaise", message=text)}, allow="TestRaise") == []
    computed = {"1": node("TestRaise", message=["2", 0]), "2": node("StringConcatenate", string_a="a")}
    (problem,) = judge(computed, allow="TestRaise")
    assert "is computed by StringConcatenate" in problem.what
    # Images are no texts.
    assert judge({"1": node("TestRaise", image=["2", 0]), "2": empty_image()}, allow="TestRaise") == []


def test_another_pack_s_class_of_a_reviewed_name_was_not_reviewed(judge: Judge) -> None:
    """A newer ComfyUI may have the class that a pack brings here under the same name."""
    pack = {"SaveText": {"python_module": "custom_nodes.other", "input": {}, "output": []}}
    (problem,) = judge({"1": node("SaveText", text="x")}, more=pack)
    assert "SaveText: this node of the pack other was not reviewed" in problem.what
    newer = {"NewNode": {"python_module": "comfy_extras.nodes_new", "input": {}, "output": []}}
    (problem,) = judge({"1": node("NewNode")}, more=newer)
    assert "NewNode: this node was not reviewed" in problem.what


def test_what_nodes_make_is_not_written_as_text(judge: Judge) -> None:
    """ComfyUI passes any value to an input of such a type, and some nodes open a text as a file."""
    for value in ("/abs/path", "plain.png", ["a.png"], {"__value__": ["/abs/path"]}, {"__value__": ["9", 0]}):
        (problem,) = judge({"1": node("SaveImage", images=value), "9": empty_image()})
        assert problem == (
            "workflow.1.inputs.images",
            "SaveImage: takes a link to another node, not a text: link it.",
        )
    images = ["COMFY_AUTOGROW_V3", {"template": {"input": {"required": {"image": ["IMAGE", {}]}}}}]
    module = "comfy_extras.nodes_post_processing"
    more = {"BatchImagesNode": {"python_module": module, "input": {"required": {"images": images}}}}
    for name in ("images", "images.image0"):
        (problem,) = judge({"1": node("BatchImagesNode", **{name: {"a": "/abs"}})}, more=more)
        assert problem.where == f"workflow.1.inputs.{name}"
    assert (
        judge({"1": node("BatchImagesNode", **{"images.image0": ["2", 0]}), "2": empty_image()}, more=more)
        == []
    )


def test_choices_lead_nowhere(judge: Judge) -> None:
    for class_type, name in (("CheckpointLoaderSimple", "ckpt_name"), ("LoraLoader", "lora_name")):
        (problem,) = judge({"1": node(class_type, **{name: "../../x.safetensors"})})
        assert "leads out of the folder with these files" in problem.what
    (problem,) = judge(
        {"1": node("DiffusersLoader", model_path=["2", 0]), "2": node("PrimitiveString", value="/a")}
    )
    assert "is not one of its choices: there are none ('/a')." in problem.what
    (problem,) = judge(
        {"1": node("SaveVideo", format=["2", 0], codec="h264"), "2": node("PrimitiveString", value="x/../y")}
    )
    assert problem.where == "workflow.1.inputs.format"


def test_no_node_shows_another_job_s_result_as_its_own(judge: Judge) -> None:
    """What a node shows as a saved file is returned; Preview 3D shows whatever it gets as a camera."""
    file = {"filename": "ComfyUI_00001_.png", "subfolder": "", "type": "output"}
    for value in (file, {"camera_info": file}, [[file]], {"__value__": [file]}):
        for class_type, name in (("Preview3D", "camera_info"), ("Load3D", "image"), ("TestRaise", "message")):
            (problem,) = judge({"1": node(class_type, **{name: value})}, allow="TestRaise")
            assert problem.where == f"workflow.1.inputs.{name}"
            assert "describes a saved file" in problem.what


def test_switches_between_switches_are_judged_once_each(judge: Judge) -> None:
    """All ways through them would be more than anybody can wait for."""
    switch = {"python_module": "comfy_extras.nodes_logic", "input": {}, "output": ["COMFY_MATCHTYPE_V3"]}
    nodes = {"0": node("PrimitiveString", value="mine.png")}
    for number in range(1, 3000):
        link = [str(number - 1), 0]
        nodes[str(number)] = node("ComfySwitchNode", switch=True, on_true=link, on_false=link)
    nodes["load"] = node("LoadImage", image=["2999", 0])
    assert judge(nodes, sent=("mine.png",), more={"ComfySwitchNode": switch}) == []
    nodes["0"]["inputs"]["value"] = OUTSIDE
    (problem,) = judge(nodes, more={"ComfySwitchNode": switch})
    assert problem.where == "workflow.load.inputs.image" and f"({OUTSIDE!r})" in problem.what


def test_paid_services_need_a_key(judge: Judge) -> None:
    nodes = {"1": node("OpenAIDalle3", prompt="x"), "2": save()}
    (problem,) = judge(nodes, allow="*")
    assert problem.where == "workflow.1.class_type"
    assert "send comfy_org_api_key with the job, or set COMFY_ORG_API_KEY on the endpoint" in problem.what
    (problem,) = judge(nodes, key=True)
    assert "this worker runs without such nodes" in problem.what
    prompt = {"required": {"prompt": ["STRING", {"multiline": True}]}}
    loaded = {"python_module": "comfy_api_nodes.nodes_openai", "input": prompt, "output": ["IMAGE"]}
    assert judge(nodes, key=True, more={"OpenAIDalle3": loaded}) == []


def test_every_class_of_this_comfyui_was_reviewed(studio: Studio) -> None:
    """Look for what the class opens, runs, fetches and writes, and add it to driver/worker/policy.json."""
    info = studio.comfy.object_info()
    unknown = {name for name, cls in info.items() if not policy.is_reviewed(name, cls["python_module"])}
    assert unknown == {"TestRaise", "TestInterpolate", "TestSpeak", "TestMove"}
    # Every input that leads to a file is called so here, or ComfyUI renamed it.
    review = json.loads(Path(policy.__file__).with_name("policy.json").read_text("utf-8"))
    for name, inputs in review["paths"].items():
        if name in info:
            declared = {**info[name]["input"].get("required", {}), **info[name]["input"].get("optional", {})}
            assert inputs.keys() <= declared.keys(), name
    # An input that takes files or their names, by its declaration, is one of them.
    for name, cls in info.items():
        for input_name, spec in {
            **cls["input"].get("required", {}),
            **cls["input"].get("optional", {}),
        }.items():
            options = spec[1] if len(spec) > 1 else {}
            takes_files = any(option.endswith("_upload") for option in options) or input_name.endswith(
                "_prefix"
            )
            if takes_files and name not in (*review["refused"], "LossGraphNode"):
                assert input_name in review["paths"][name], (name, input_name)


def test_a_playlist_is_not_taken_as_a_file(studio: Studio, tmp_path: Path) -> None:
    """FFmpeg would read what it lists: any audio or video on the machine."""
    playlist = "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n/abs/path/private.ts\n#EXT-X-ENDLIST\n"
    for number, content in enumerate(
        (
            playlist.encode(),
            b"ID3\x04\0\0\0\0\0\x10" + b"\0" * 16 + playlist.encode(),
            b"ffconcat version 1.0\nfile other.wav\n",
            b'<MPD profiles="urn:mpeg:DASH:profile:isoff-on-demand:2011"><BaseURL>file:///abs</BaseURL></MPD>',
        )
    ):
        (path := tmp_path / str(number)).write_bytes(content)
        with pytest.raises(ValueError, match="is a playlist"):
            refuse_playlist(path)
    worker = Worker(ComfyInstance(studio.comfy), FolderStore(tmp_path / "store"), tmp_path / "output")
    data = "data:,%23EXTM3U%0A%23EXT-X-TARGETDURATION:1%0A"
    nodes = {
        "1": node("LoadAudio", audio="a.m3u8"),
        "2": node("SaveAudio", audio=["1", 0], filename_prefix="a"),
    }
    job = {"workflow": nodes, "images": [{"name": "a.m3u8", "image": data}]}
    assert "images[0].image: is a playlist" in worker.run("job-p", job)["error"]


def test_problems_of_many_nodes_come_together_and_nothing_runs(studio: Studio, tmp_path: Path) -> None:
    worker = Worker(ComfyInstance(studio.comfy), FolderStore(tmp_path / "store"), tmp_path / "output")
    titled = {"_meta": {"title": "My camera"}}
    nodes = {
        "1": {**node("WebcamCapture", image="/abs/path/private.png", width=0, height=0), **titled},
        "2": save("../../x"),
        "3": node("SaveImageTextDataSetToFolder", images=["1", 0], texts="t", folder_name="/abs"),
        "4": node("OpenAIDalle3", prompt="x"),
        "5": node("TestRaise", image=["1", 0]),
        "6": node("Zzyzx"),
    }
    lines = worker.run("job-1", {"workflow": nodes})["error"].splitlines()
    assert sorted(line.partition(": ")[0] for line in lines) == [
        "workflow.1.inputs.image",
        "workflow.2.inputs.filename_prefix",
        *(f"workflow.{number}.class_type" for number in (3, 4, 5, 6)),
    ]
    assert any("My camera (WebcamCapture): leads out of ComfyUI's input folder" in line for line in lines)


def test_a_still_of_a_story_runs_as_a_plain_workflow(studio: Studio, tmp_path: Path) -> None:
    worker = Worker(ComfyInstance(studio.comfy), FolderStore(tmp_path / "store"), tmp_path / "output")
    still = node("StoryStudio_Still", image=["1", 0], name="../../../face")
    nodes = {"1": node("LoadImage", image="face.png"), "2": still}
    images = [{"name": "face.png", "image": png("lime")}]
    answer = worker.run("job-1", {"workflow": nodes, "images": images})
    (entry,) = answer["images"]
    assert color(entry) == (0, 255, 0)
    assert entry["filename"].startswith("face.")
