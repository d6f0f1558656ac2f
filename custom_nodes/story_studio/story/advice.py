"""What is likely to go wrong with a story's stills and clips, said before anything is rendered."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from .clip_graph import MAX_SEGMENTS, recipe_of, segments
from .model_files import has_models, is_model_file
from .pins import always_holds
from .plan import Plan
from .problems import Problem, Problems
from .recipes import Recipe
from .scene import UNWRITTEN, Scene
from .shown import is_english, names_somebody, small_face

_MOST_NAMED = 4
"""Scenes that a warning names; it counts the others."""
_ENGLISH_ENCODER = "wav2vec2_large_english"
"""Audio encoders of this name were trained on English speech alone."""


def advice(plan: Plan) -> list[str]:
    """What the author should know before the render, a sentence each, with the scenes that it is about."""
    return [*_of_language(plan), *_of_prompts(plan), *_of_characters(plan), *_without_effect(plan)]


def check_prompts(plan: Plan) -> None:
    """Refuses prompts and descriptions that are left to be written, unless the stills are cards.

    Raises:
        Problems: all of them.
    """
    if "prompt" not in plan.profile.still.parameters:
        return
    places = (
        # In the other shots of a dialogue it is the scene's prompt.
        scene.place if scene.prompt.startswith(UNWRITTEN) else scene.place.partition(".lines")[0]
        for scene in plan.story.scenes
        if scene.is_unwritten and not scene.image and scene.kind_of != "clip"
    )
    problems = [
        Problem(
            f"{place}.prompt",
            f'begins with "{UNWRITTEN}": write what the image shows, or render a draft with --profile draft.',
        )
        for place in dict.fromkeys(places)
    ]
    shown = {key for scene in plan.story.scenes for key in plan.story.characters_of(scene)}
    problems += [
        Problem(
            f"characters.{key}.description",
            f'begins with "{UNWRITTEN}": write what {plan.story.name_of(key)} looks like, or render a draft '
            "with --profile draft.",
        )
        for key, character in plan.story.characters.items()
        if key in shown and character.is_unwritten
    ]
    if problems:
        raise Problems(problems)


def check_lengths(plan: Plan) -> None:
    """Refuses scenes that are too long for the recipe of their clips.

    Raises:
        Problems: all of them.
    """
    problems = []
    for scene in plan.story.scenes:
        recipe, files = recipe_of(plan, scene), plan.files.get(scene.id)
        seconds = scene.seconds or (files.seconds if files else 0.0)
        parts = len(segments(recipe, seconds)) if recipe else 0
        if parts > MAX_SEGMENTS:
            what = (
                f"lasts {seconds:.0f} s, which its clip recipe makes in {parts} parts, and {MAX_SEGMENTS} "
                f"are the most: split the scene into some of at most {seconds * MAX_SEGMENTS / parts:.0f} s."
            )
            problems.append(Problem(scene.place, what))
    if problems:
        raise Problems(problems)


def _of_language(plan: Plan) -> Iterator[str]:
    """Scenes whose voice the audio encoder of their clips does not know."""
    encoder = next((file for file in _files(plan.profile.clip) if _ENGLISH_ENCODER in file), "")
    chosen = plan.profile.clip_settings.get("models", {}).get("audio_encoder", encoder)
    if not plan.clips or _ENGLISH_ENCODER not in chosen:
        return
    by_language: dict[str, list[Scene]] = {}
    for scene in _talking(plan):
        language = plan.story.language_of(scene)
        if language and language.lower().partition("-")[0] != "en":
            by_language.setdefault(language, []).append(scene)
    for language, scenes in by_language.items():
        yield _about(
            scenes,
            f"speaks {language}, and the model's audio encoder was trained on English speech ({chosen}): "
            "lips follow the rhythm and loudness of the voice, but may miss sounds that English does not "
            "have. Render one scene and look at it before the others.",
        )


def _of_prompts(plan: Plan) -> Iterator[str]:
    """Talking scenes in which there is nobody, or nobody's face is large enough."""
    if not plan.clips or not has_models(plan.profile.clip):
        return
    judged = [
        scene
        for scene in _talking(plan)
        if scene.prompt and not (scene.image or always_holds(scene.still_take) or scene.is_unwritten)
    ]
    # Of several words for a small face, each scene has the first.
    small = {scene.id: small_face(scene.prompt) for scene in judged if is_english(scene.prompt)}
    if scenes := [scene for scene in judged if small.get(scene.id)]:
        words = ", ".join(dict.fromkeys(f'"{small[scene.id]}"' for scene in scenes[:_MOST_NAMED]))
        yield _about(
            scenes,
            f"talks, and its prompt says {words}: a face that is small or turned away cannot speak. Ask for "
            "a chest-up portrait that faces the camera, or write `kind: narrated`.",
        )
    story = plan.story
    if story.characters:
        nobody = [scene for scene in judged if not story.characters_of(scene)]
        keys = " or ".join(f"{{{key}}}" for key in list(story.characters)[:3])
        what = f"talks, and its prompt names no character: write {keys} where one is shown"
    else:
        nobody = [scene for scene in judged if is_english(scene.prompt) and not names_somebody(scene.prompt)]
        what = "talks, and its prompt names nobody: say who speaks, and what the face looks like"
    if nobody:
        yield _about(nobody, f"{what}, or write `kind: narrated` for a voice over the image.")


def _of_characters(plan: Plan) -> Iterator[str]:
    """Characters that nobody uses, and faces that only words keep the same."""
    story = plan.story
    shown = {scene.id: story.characters_of(scene) for scene in story.scenes}
    spoken_by = {scene.character for scene in story.scenes}
    for key in story.characters:
        if key not in spoken_by and not any(key in keys for keys in shown.values()):
            yield f"characters.{key} is used by no scene: write {{{key}}} in a prompt, or leave it out."
    drawn = [scene for scene in story.scenes if not scene.image and scene.kind_of != "clip"]
    if plan.profile.reference or not has_models(plan.profile.still):
        return
    times = Counter(key for scene in drawn for key in shown[scene.id])
    again = [key for key, count in times.items() if count > 1 and not story.characters[key].loras]
    if again:
        names = " and ".join(map(story.name_of, again[:3])) + (" and others" if len(again) > 3 else "")
        yield (
            f"{names}: drawn from the same description and seed in every scene, which keeps age, hair and "
            "clothes alike, and not the very same face. For that choose image_settings.reference_workflow, "
            "such as qwen_image_edit_still.json, or give the character a LoRA."
        )


def _without_effect(plan: Plan) -> Iterator[str]:
    """Fields of scenes that do nothing in scenes of their kind."""
    story = plan.story
    rules: Sequence[tuple[str, Callable[[Scene], bool]]] = (
        ("`video_prompt` has no effect in your own clip: leave it out.", _is_own("video_prompt")),
        ("`image` has no effect on your own clip, only on its place on the contact sheet.", _is_own("image")),
        ("`seed` has no effect in your own clip: leave it out.", _is_own("seed")),
        (
            "`video_prompt` has no effect: the recipe of narrated and silent scenes does not use it. Choose "
            "video_settings.narrated_workflow, or leave it out.",
            lambda scene: (
                scene.kind_of in ("narrated", "silent")
                and "prompt" not in plan.profile.narrated.parameters
                and "prompt" in plan.profile.clip.parameters
                and not scene.dialogue
                and "video_prompt" in scene.model_fields_set
            ),
        ),
        (
            "`music: false` has no effect: the film has no music.",
            lambda scene: bool(story.film and not story.film.music and not scene.music),
        ),
    )
    for text, applies in rules:
        if scenes := [scene for scene in story.scenes if applies(scene)]:
            yield _about(scenes, text)
    if not any(scene.is_spoken for scene in story.scenes):
        voices = {"voice_settings": story.voice_settings.model_fields_set}
        voices |= {f"characters.{key}.voice": character.voice for key, character in story.characters.items()}
        for where in (where for where, voice in voices.items() if voice):
            yield f"{where} has no effect: no scene has a `text` without a recording, to be spoken."


def _is_own(field: str) -> Callable[[Scene], bool]:
    return lambda scene: scene.kind_of == "clip" and field in scene.model_fields_set


def _talking(plan: Plan) -> list[Scene]:
    scenes = plan.story.scenes
    return [scene for scene in scenes if scene.kind_of == "talking" and not always_holds(scene.clip_take)]


def _files(recipe: Recipe) -> Iterator[str]:
    """The model files that a recipe names."""
    values = (value for node in recipe.nodes.values() for value in node["inputs"].values())
    return (value for value in values if is_model_file(value))


def _about(scenes: Sequence[Scene], text: str) -> str:
    names = ", ".join(scene.id for scene in scenes[:_MOST_NAMED])
    more = len(scenes) - _MOST_NAMED
    return f"{names}{f' and {more} more' if more > 0 else ''}: {text}"
