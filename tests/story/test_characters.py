"""Characters in stories: their names in prompts, their seeds, sheets, references and LoRAs in the graph."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from story_studio.story import graph, schema
from story_studio.story.characters import described
from story_studio.story.graph import CharacterId, SceneId
from story_studio.story.plan import profile_of
from story_studio.story.problems import Problems
from story_studio.story.read_graph import read_graph
from story_studio.story.recipes import FOLDER, is_link, load_recipe
from story_studio.story.references import REFERENCES, without_references
from story_studio.story.scenes import Workflow, panel_of
from story_studio.story.settings import Character

QWEN = "qwen_image_edit_still.json"
PEOPLE = {
    "mara": {"description": "a lighthouse keeper of seventy, silver braid."},
    "tom": {"name": "Old Tom", "description": "a sailor"},
    "extra": {},
}


def story_of(prompts: list[str], **more: Any) -> schema.Story:
    scenes = [{"id": f"s{n}", "prompt": text, "audio": "a.wav"} for n, text in enumerate(prompts)]
    people = {key: dict(person) for key, person in PEOPLE.items()}
    return schema.parse(
        {"project_id": "tale", "profile": "turbo", "scenes": scenes, "characters": people} | more
    )


def plan_of(story: schema.Story) -> graph.Plan:
    files = {scene.id: graph.Files("a.wav", None) for scene in story.scenes}
    return graph.Plan(story, profile_of(story), files)


def above(built: graph.Graph, node: str, cls: str) -> list[dict[str, Any]]:
    """The inputs of the nodes of a class upstream of a node, in the direction of the links."""
    seen, waiting = dict[str, None](), [node]
    while waiting:
        current = waiting.pop()
        if current not in seen:
            seen[current] = None
            links = built.nodes[current]["inputs"].items()
            waiting += [value[0] for name, value in links if is_link(value) and name != "after"]
    return [built.nodes[n]["inputs"] for n in seen if n != node and built.nodes[n]["class_type"] == cls]


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("{mara} waves, {mara} sits", "a lighthouse keeper of seventy, silver braid waves, Mara sits"),
        ("{Mara} waves", "A lighthouse keeper of seventy, silver braid waves"),
        ("{mara}'s hands.", "Mara's hands, Mara is a lighthouse keeper of seventy, silver braid"),
        ("{mara}’s hands and {mara}", "Mara’s hands and a lighthouse keeper of seventy, silver braid"),
        ("{ tom } sees {MARA}'s boat, {tom}'s too", "a sailor sees Mara's boat, Old Tom's too, Mara is a "
         "lighthouse keeper of seventy, silver braid"),
        ("{extra} and {who knows} {} {red|blue}", "Extra and {who knows} {} {red|blue}"),
    ],
)  # fmt: skip
def test_prompts_describe_characters(written: str, expected: str) -> None:
    assert described(written, {key: Character(**person) for key, person in PEOPLE.items()}) == expected


def test_names_that_nobody_has_are_reported_together_with_their_lines(tmp_path: Path) -> None:
    path = tmp_path / "tale.yaml"
    path.write_text(
        "style: by {nobody}\n"
        "characters: {mara: {description: a keeper}}\n"
        "scenes:\n"
        "  - {id: a, prompt: '{mra} reads', audio: a.wav}\n"
        "  - {id: b, prompt: x, lines: [{character: mara, text: Hi}, {character: mara, text: Ho,\n"
        "      prompt: '{tim}'}]}\n"
    )
    with pytest.raises(Problems) as error:
        schema.load(path)
    found = {str(problem).partition("tale.yaml: ")[2] for problem in error.value.problems}
    assert found == {
        "style (line 1): there is no character 'nobody', known: mara.",
        "scenes[0].prompt (line 4): there is no character 'mra', did you mean 'mara'?",
        "scenes[1].lines[1].prompt (line 6): there is no character 'tim', known: mara.",
    }


def test_a_story_without_characters_keeps_its_braces_and_seeds() -> None:
    (scene,) = story_of(["{mara} at the window"]).scenes
    without = story_of(["{mara} at the window"], characters={})
    assert without.prompt_of(scene) == "{mara} at the window"
    other = scene.model_copy(update={"prompt": "an empty room"})
    assert without.seed_of(scene) == without.seed_of(other) == story_of(["x"]).seed_of(other)


def test_characters_that_no_scene_shows_change_nothing() -> None:
    settings = {"reference_workflow": QWEN}
    with_people = graph.build([plan_of(story_of(["a room", "a boat"], image_settings=settings))])
    assert with_people.nodes == graph.build([plan_of(story_of(["a room", "a boat"], characters={}))]).nodes


def test_whoever_speaks_is_described_and_a_family_shares_a_seed() -> None:
    story = story_of(["a portrait", "{mara} and {tom}", "{tom} greets {mara}", "{tom}"])
    speaker = story.scenes[0].model_copy(update={"character": "tom"})
    assert story.prompt_of(speaker) == "a sailor, a portrait"
    narrated = speaker.model_copy(update={"kind": "narrated"})
    assert story.prompt_of(narrated) == "a portrait" and story.characters_of(narrated) == []
    seeds = [story.seed_of(scene) for scene in story.scenes]
    assert seeds[1] == seeds[2] and seeds[3] == story.seed_of(speaker) and len(set(seeds)) == 3
    assert story.seed_of(speaker.model_copy(update={"seed": 5})) == 5


def test_stills_of_characters_are_made_from_their_sheets_and_after_the_others() -> None:
    prompts = ["{mara} reads", "a room", "{tom} and {mara}"]
    built = graph.build([plan_of(story_of(prompts, image_settings={"reference_workflow": QWEN}))])
    sheets = {key.character: node for key, node in built.characters.items()}
    assert list(sheets) == ["mara", "tom"]
    assert built.nodes[sheets["mara"]]["inputs"]["name"] == "tale_mara_sheet"
    (first, room, both) = (built.stills[SceneId(0, f"s{n}")] for n in range(3))
    (encoder, negative) = above(built, first, "TextEncodeQwenImageEditPlus")
    assert encoder["image1"] == negative["image1"] == [sheets["mara"], 0]
    assert not {"image2", "image3"} & set(encoder)
    (encoder, _) = above(built, both, "TextEncodeQwenImageEditPlus")
    assert [encoder["image1"], encoder["image2"]] == [[sheets["tom"], 0], [sheets["mara"], 0]]
    assert not above(built, room, "TextEncodeQwenImageEditPlus") and not above(built, room, "LoadImage")
    order = [sheets["mara"], sheets["tom"], room, first, both]
    assert [built.nodes[node]["inputs"].get("after") for node in order] == [
        None,
        *([node, 0] for node in order[:-1]),
    ]
    assert _storyboard(built) == [[first, 0], [room, 0], [both, 0]]


def _storyboard(built: graph.Graph) -> list[Any]:
    """The stills of the storyboard, in order."""
    stills: list[Any] = []
    link = built.nodes[built.sheets[0]]["inputs"]["storyboard"]
    while link:
        inputs = built.nodes[link[0]]["inputs"]
        stills.insert(0, inputs["still"])
        link = inputs.get("storyboard")
    return stills


def test_an_own_image_takes_the_place_of_a_sheet() -> None:
    people = {"mara": {"reference": "mara.png"}}
    story = story_of(["{mara} reads"], characters=people, image_settings={"reference_workflow": QWEN})
    built = graph.build([plan_of(story)])
    (image,) = above(built, built.stills[SceneId(0, "s0")], "LoadImage")
    assert image == {"image": "mara.png"} and not built.characters
    assert not graph.build([plan_of(story)], only_sheets=True).nodes


def test_sheets_alone_and_without_a_recipe_for_references() -> None:
    plan = plan_of(story_of(["{mara} reads"]))
    assert not graph.build([plan]).characters
    built = graph.build([plan], only_sheets=True)
    assert list(built.characters) == [CharacterId(0, "mara"), CharacterId(0, "tom")] and not built.stills
    left = graph.build([plan], frozenset({CharacterId(0, "mara").owner}), only_sheets=True)
    assert list(left.characters) == [CharacterId(0, "tom")]


def test_a_draft_has_no_references_and_says_so() -> None:
    story = story_of(["{mara}"], profile="draft", image_settings={"reference_workflow": QWEN})
    plan = plan_of(story)
    assert graph.still_values(plan, story.scenes[0])["subject"] == "Mara"
    assert not graph.build([plan]).characters
    of_settings = [warning for warning in graph.warnings(plan) if warning.startswith("image_settings")]
    assert of_settings == [
        "image_settings.reference_workflow has no effect: the profile 'draft' does not use it."
    ]


def test_loras_are_a_chain_behind_the_model_of_the_stills_that_show_the_character() -> None:
    people = {"mara": {"description": "a keeper", "loras": ["mara.safetensors", "style.safetensors"]}}
    loras = [{"file": "style.safetensors", "strength": 0.5}, {"file": "off.safetensors", "strength": 0}]
    settings = {"loras": loras, "reference_workflow": QWEN}
    built = graph.build([plan_of(story_of(["{mara}", "a room"], characters=people, image_settings=settings))])
    for node, files in (
        (built.stills[SceneId(0, "s0")], ["mara.safetensors", "style.safetensors"]),
        (built.stills[SceneId(0, "s1")], ["style.safetensors"]),
    ):
        loaders = above(built, node, "LoraLoaderModelOnly")
        assert {loader["lora_name"] for loader in loaders} == set(files)
    (sampler,) = above(built, built.stills[SceneId(0, "s1")], "KSampler")
    shift = built.nodes[sampler["model"][0]]["inputs"]
    lora = built.nodes[shift["model"][0]]["inputs"]
    assert lora["strength_model"] == 0.5 and built.nodes[lora["model"][0]]["class_type"] == "UNETLoader"


def test_loras_without_a_model_to_change_are_reported() -> None:
    settings = {"loras": ["style.safetensors"]}
    warnings = graph.warnings(plan_of(story_of(["x"], profile="draft", image_settings=settings)))
    of_loras = "image_settings.loras has no effect in stills of the still recipe"
    assert sum(warning.startswith(of_loras) for warning in warnings) == 1


@pytest.mark.parametrize("name", ["../x.safetensors", "/x.safetensors", "a\\..\\x", "C:x", "\\\\host\\x"])
def test_a_lora_is_a_file_below_its_folder(name: str) -> None:
    with pytest.raises(Problems, match="is outside models/loras"):
        story_of(["x"], image_settings={"loras": [name]})


def test_more_characters_than_a_recipe_takes() -> None:
    people = {key: {"description": key} for key in ("a", "b", "c", "d")}
    settings = {"reference_workflow": QWEN}
    plan = plan_of(story_of(["{a} {b} {c} {d}"], characters=people, image_settings=settings))
    assert [key.character for key in graph.build([plan]).characters] == ["a", "b", "c"]
    (warning,) = graph.warnings(plan)
    assert warning.startswith("s0: D is drawn from the description alone")


def test_a_recipe_without_reference_or_that_cannot_do_without_the_second(tmp_path: Path) -> None:
    with pytest.raises(Problems, match=r"reference_workflow: the recipe has no node titled \$reference"):
        profile_of(story_of(["x"], image_settings={"reference_workflow": "z_image_base_still.json"}))
    nodes = json.loads((FOLDER / QWEN).read_text())
    nodes["stitch"] = {"class_type": "ImageBatch", "inputs": {"image1": ["11", 0], "image2": ["12", 0]}}
    nodes["encode"] = {"class_type": "VAEEncode", "inputs": {"pixels": ["stitch", 0], "vae": ["10", 0]}}
    nodes["19"]["inputs"]["latent_image"] = ["encode", 0]
    (tmp_path / "own.json").write_text(json.dumps(nodes))
    with pytest.raises(Problems, match=r"cannot do without \$reference_2 and \$reference_3"):
        profile_of(story_of(["x"], image_settings={"workflow": str(tmp_path / "own.json")}))


def test_references_are_pruned_up_to_the_next_node_that_can_be_without_them() -> None:
    recipe = load_recipe(FOLDER / QWEN, "still")
    nodes = recipe.nodes | {
        "latent": {"class_type": "VAEEncode", "inputs": {"pixels": ["12", 0], "vae": ["10", 0]}},
        "chain": {
            "class_type": "ReferenceLatent",
            "inputs": {"conditioning": ["14", 0], "latent": ["latent", 0]},
        },
    }
    nodes["19"] = nodes["19"] | {"inputs": nodes["19"]["inputs"] | {"positive": ["chain", 0]}}
    pruned = without_references(recipe.__class__(nodes, recipe.parameters, recipe.result), REFERENCES[1:])
    assert pruned.nodes["chain"]["inputs"] == {"conditioning": ["14", 0]}
    assert "latent" not in pruned.nodes and set(pruned.parameters) >= {"reference", "model"}


def test_a_story_with_characters_is_read_back_from_its_graph() -> None:
    people = {
        "mara": {"description": "a lighthouse keeper", "loras": ["mara.safetensors"]},
        "tom": {"description": "a sailor", "reference_take": "0" * 24},
    }
    loras = [{"file": "style.safetensors", "strength": 0.5}]
    settings = {"reference_workflow": QWEN, "loras": loras}
    prompts = ["{Mara} reads, {mara} smiles", "a room", "{tom} greets {mara}"]
    story = story_of(prompts, characters=people, style="oil painting", seed=3, image_settings=settings)
    file = read_graph(graph.build([plan_of(story)]).nodes)
    again = schema.parse(file.data)
    assert [scene.id for scene in again.scenes] == ["s0", "s1", "s2"]
    assert [again.prompt_of(scene) for scene in again.scenes] == list(map(story.prompt_of, story.scenes))
    assert again.characters == story.characters and again.image_settings == story.image_settings
    assert (again.style, again.seed) == ("oil painting", 3)
    assert not any(scene.seed for scene in again.scenes)
    # Of the room, in which nobody is who could talk.
    assert [warning.partition(":")[0] for warning in file.warnings] == ["s1"]


def test_what_of_a_canvas_has_no_place_in_the_story_is_said() -> None:
    people = {"mara": {"reference": "mara.png", "loras": ["mara.safetensors"]}}
    settings = {"reference_workflow": QWEN}
    story = story_of(["{mara} reads", "a room"], characters=people, image_settings=settings)
    data, losses, _, _ = read_graph(graph.build([plan_of(story)]).nodes)
    assert data["image_settings"]["reference_workflow"] == QWEN and "characters" not in data
    assert [scene["prompt"] for scene in data["scenes"]] == ["Mara reads", "a room"]
    assert any("The LoRA mara.safetensors is in some stills" in text for text in losses)
    assert any("The reference images mara.png are not in the story file" in text for text in losses)


def test_a_sheet_is_no_scene_of_the_panel() -> None:
    story = story_of(["{mara} reads"], image_settings={"reference_workflow": QWEN})
    workflow = Workflow(graph.build([plan_of(story)]).nodes)
    assert [scene["name"] for scene in panel_of(workflow)["scenes"]] == ["s0"]
