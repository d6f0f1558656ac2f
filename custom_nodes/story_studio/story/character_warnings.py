"""What a story says about its characters that has no effect."""

from __future__ import annotations

from collections.abc import Iterator

from .loras import MODEL
from .plan import Plan
from .references import most_references
from .still_graph import shown_by_reference


def character_warnings(plan: Plan) -> Iterator[str]:
    """The settings of characters and LoRAs that have no effect, one sentence each."""
    story, reference = plan.story, plan.profile.reference
    if story.image_settings.reference_workflow and reference is None:
        why = (
            f"the profile {story.profile!r} does not use it" if story.characters else "there is no character"
        )
        yield f"image_settings.reference_workflow has no effect: {why}."
    yield from _of_loras(plan)
    for key, character in story.characters.items():
        if character.reference and character.reference_take:
            yield (
                f"characters.{key}.reference_take has no effect, because the character has its own "
                "`reference`: leave out one of the two."
            )
    for scene in story.scenes:
        shown = shown_by_reference(plan, scene)
        others = [key for key in story.characters_of(scene) if key not in shown]
        if reference and shown and others:
            names = " and ".join(map(story.name_of, others))
            yield (
                f"{scene.id}: {names} is drawn from the description alone, because the recipe takes "
                f"{most_references(reference)} reference image(s) at a time."
            )


def _of_loras(plan: Plan) -> Iterator[str]:
    story, profile = plan.story, plan.profile
    recipes = {"still recipe": profile.still}
    recipes |= {"recipe for references": profile.reference} if profile.reference else {}
    lacking = " and the ".join(name for name, recipe in recipes.items() if MODEL not in recipe.parameters)
    if not lacking:
        return
    named = {"image_settings": story.image_settings.loras}
    named |= {f"characters.{key}": character.loras for key, character in story.characters.items()}
    for where, loras in named.items():
        if loras:
            yield (
                f"{where}.loras has no effect in stills of the {lacking}, which has no node titled $model: "
                "title its model loader so, or leave the LoRAs out."
            )
