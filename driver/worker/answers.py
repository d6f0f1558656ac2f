"""The endpoint's API: the responses to its jobs."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from story_studio.checks.figures import Figures
from story_studio.checks.verdict import Finding, Verdict
from story_studio.story.scene import SceneKind

Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
PROFILE = "draft, turbo, standard or quality."
"""The names of the profiles, for descriptions."""
_URL = "Its address; without a bucket a data URI with the content."


class Detail(BaseModel):
    """One problem of a job that failed."""

    where: str = Field(
        description="Its field, node or scene, like `scenes[1].audio`; empty if none is known."
    )
    what: str = Field(description="What is wrong and what to do.")


class _Response(BaseModel):
    generation_time: float = Field(description="Seconds that the job took.")
    version: str = Field(default="", description="The worker's version of Story Studio.")


class _Answer(_Response):
    warnings: list[str] = Field(
        description="Settings without effect, and failures that were recovered from; a sentence each."
    )


class ResultCounts(BaseModel):
    """How many results of each kind."""

    stills: int = 0
    clips: int = 0
    films: int = 0


class _Rendered(_Answer):
    seconds: dict[str, float] = Field(
        description="Seconds in all (`total`), for `stills`, `clips` and `film`, and from the last still to "
        "the first step of the first clip (`between`)."
    )
    made: ResultCounts = Field(default=ResultCounts(), description="Results that this job made.")
    reused: ResultCounts = Field(
        default=ResultCounts(), description="Results that were there already, and were not made again."
    )
    model_loads: dict[str, int] = Field(description="How often each model file was loaded.")
    memory: str = Field(
        default="",
        description="How the models shared the worker's memory: whether all of them stayed, or the stills' "
        "models were freed before the clips' models were read. Empty if no model was read.",
    )


class Settings(BaseModel):
    """What was used, whether the job, the profile or the recipe chose it. What does not apply is left out."""

    steps: int | None = Field(default=None, description="Sampling steps.")
    cfg: float | None = Field(default=None, description="Guidance.")
    sampler: str | None = None
    scheduler: str | None = None
    width: int | None = Field(default=None, description="Pixels that were asked for.")
    height: int | None = Field(default=None, description="Pixels that were asked for.")
    models: list[str] = Field(default=[], description="Names of the model files.")


class JobSettings(Settings):
    """What an image or a video was made with."""

    profile: str = Field(description=PROFILE)


class BatchSettings(BaseModel):
    """What a batch was made with."""

    profile: str = Field(description=PROFILE)
    image: Settings | None = Field(default=None, description="Of the images that were made.")
    video: Settings | None = Field(default=None, description="Of the talking videos.")
    narrated: Settings | None = Field(default=None, description="Of the narrated and the silent videos.")


class _Media(_Rendered):
    # Answers of earlier versions have none.
    settings: JobSettings | None = None
    seed: int
    sha256: Sha256
    bytes: int
    width: int = Field(description="Pixels.")
    height: int = Field(description="Pixels.")


class ImageAnswer(_Media):
    """The response to an image job."""

    image_url: str = Field(description=_URL)


class CheckAnswer(BaseModel):
    """What was measured of a video, and what is wrong with it."""

    verdict: Verdict
    findings: list[Finding] = Field(description="Each figure beyond its limits, the worst first.")
    figures: Figures = Field(description="All that was measured.")
    sheet_url: str | None = Field(
        default=None, description="An image with its worst moments; left out where it does not fit."
    )
    sheet_sha256: Sha256 | None = None


class TakeAnswer(BaseModel):
    """One of the videos that were made for a scene until one passed its check."""

    seed: int | None = None
    verdict: Verdict
    reasons: list[str] = Field(default=[], description="Why it did not pass; a sentence each.")
    kept: bool = Field(description="Whether it is the scene's video.")


class VideoAnswer(_Media):
    """The response to a video job."""

    video_url: str = Field(description=_URL)
    resolution: str
    duration: float = Field(description="Seconds.")
    check: CheckAnswer | None = Field(default=None, description="Of the video, where it was checked.")
    takes: list[TakeAnswer] = Field(default=[], description="Where the job allows retakes: all videos made.")


class SceneAnswer(BaseModel):
    """A scene's results; what is missing was not finished, and `error` says why.

    A scene with `lines` has one of these for each of its shots.
    """

    id: str
    of: str | None = Field(
        default=None,
        description="The scene that a shot of a dialogue belongs to. The shots of `f` are `f.1`, `f.2` "
        "and so on, and `f.0` the shot before the first line.",
    )
    kind: SceneKind = Field(default="talking", description="Of the scene; left out where it is talking.")
    seed: int
    voice_url: str | None = Field(
        default=None, description="The voice, where the worker made it from the scene's text."
    )
    voice_sha256: Sha256 | None = None
    image_url: str | None = None
    image_sha256: Sha256 | None = None
    video_url: str | None = None
    video_sha256: Sha256 | None = None
    duration: float | None = Field(default=None, description="Seconds of its video.")
    width: int | None = Field(default=None, description="Pixels of its video.")
    height: int | None = Field(default=None, description="Pixels of its video.")
    check: CheckAnswer | None = Field(default=None, description="Of its video, where it was checked.")
    takes: list[TakeAnswer] = Field(
        default=[], description="Where the batch allows retakes: all videos made for it, in order."
    )
    error: str | None = None


class CharacterAnswer(BaseModel):
    """A character's sheet: an image to approve, from which the scenes' images are made."""

    sheet_url: str
    sheet_sha256: Sha256
    sheet_take: str = Field(
        description="Its key: as the character's `reference_take`, another batch uses this sheet."
    )


class BatchAnswer(_Rendered):
    """The response to a batch. If not one scene was finished, it has an `error` too, and the job failed."""

    project_id: str | None = Field(description="As it was sent; null if none was.")
    status: Literal["complete", "partial", "failed"]
    settings: BatchSettings | None = None
    scenes: list[SceneAnswer] = Field(description="In the film's order.")
    characters: dict[str, CharacterAnswer] = Field(
        default={}, description="By their names in the story: those of whom a sheet was made."
    )
    film_url: str | None = None
    film_sha256: Sha256 | None = None
    captions: dict[str, str] = Field(
        default={},
        description="Addresses of the film's captions by their names: `film.srt` and `film.vtt`, or, if "
        "the story has a `language`, `film.en.srt` and so on; `film.de.srt` for a translation.",
    )
    storyboard_url: str | None = None
    storyboard_sha256: Sha256 | None = None
    manifest_url: str
    total_time: float = Field(description="Seconds.")
    images_time: float = Field(description="Seconds.")
    videos_time: float = Field(description="Seconds.")
    error: str | None = None
    details: list[Detail] = Field(default=[], description="Beside `error`: why each scene failed.")


class OutputFile(BaseModel):
    """A file that a workflow saved."""

    filename: str
    type: Literal["base64", "s3_url"] = Field(description="What `data` is: the content, or the address.")
    data: str
    content_type: str
    bytes: int
    sha256: Sha256


class WorkflowAnswer(_Answer):
    """The response to a workflow."""

    images: list[OutputFile]
    videos: list[OutputFile] = Field(description="Videos, and animated images.")
    audio: list[OutputFile]
    files: list[OutputFile] = Field(default=[], description="All other files.")
    text: list[str] = Field(default=[], description="What its nodes show as text.")
    errors: list[str] = Field(default=[], description="What failed; a sentence each.")
    status: Literal["success_no_images"] | None = Field(default=None, description="It saved nothing.")


class Failure(_Response):
    """The response to any job that failed."""

    error: str = Field(
        default="",
        description="What is wrong and what to do; a line for each problem. RunPod's API shows it as the "
        "job's own `error`, beside the output.",
    )
    details: list[Detail] = Field(description="Each problem.")
