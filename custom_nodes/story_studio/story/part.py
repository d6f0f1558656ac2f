"""What all parts of a story file or request have in common."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from .pins import TAKE

LANGUAGE = r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$"
"""A language tag (BCP 47), as a regular expression."""
ID_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$"
MAX_SEED = 2**63 - 1
MAX_PROMPT = 10_000
"""Characters."""

Id = Annotated[str, Field(pattern=ID_PATTERN, description="Letters, digits, `_`, `.` and `-`; at most 64.")]
Seed = Annotated[int, Field(ge=0, le=MAX_SEED, description="The same seed gives the same result.")]
Take = Annotated[str, Field(pattern=f"^{TAKE}$")]
Prompt = Annotated[str, Field(max_length=MAX_PROMPT)]
Language = Annotated[
    str, Field(pattern=LANGUAGE, max_length=35, description="A language tag (BCP 47): en, de, pt-BR.")
]


def is_number(value: Any) -> bool:
    """Whether a value is a whole number; yes and no are none, though Python counts them as 1 and 0."""
    return isinstance(value, int) and not isinstance(value, bool)


class Part(BaseModel):
    """A part of a story file or request; unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True, serialize_by_alias=True)
    other_names: ClassVar[dict[str, str]] = {}
    """Further names of fields, by which the endpoint's first clients know them."""

    @field_validator("*", mode="before")
    @classmethod
    def _no_bool_as_number(cls, value: Any, info: ValidationInfo) -> Any:
        if isinstance(value, bool):
            annotation = cls.model_fields[str(info.field_name)].annotation
            choices = {annotation, *get_args(annotation)}
            if {int, float} & choices and Literal[False] not in choices:
                raise ValueError("must be a number, and is yes or no: write a number, or leave it out.")
        return value
