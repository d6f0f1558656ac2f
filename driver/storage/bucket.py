"""A bucket's settings from the environment."""

from __future__ import annotations

import os
import re
from typing import Any
from urllib.parse import urlsplit

from pydantic import BaseModel, Field, SecretStr, ValidationError

from story_studio.story.problems import Problem, Problems

WEEK = 7 * 24 * 3600
_FOLDER = r"^([^./\\\s][^/\\\s]*/?)*$"
_ADDRESS = r"^https?://[^@?#\s]+$"


def _setting(default: Any, what: str, **limits: Any) -> Any:
    return Field(default, description=what, **limits)


class Bucket(BaseModel, frozen=True, hide_input_in_errors=True):
    """A bucket and its credentials. Each field is an environment variable: `name` is BUCKET_NAME.

    R2 accepts us-east-1 for its own region, auto.
    """

    endpoint_url: str = _setting(..., "the server's address, like https://host", pattern=_ADDRESS)
    access_key_id: str = _setting(..., "a key that may read, write and list the bucket, and delete from it")
    secret_access_key: SecretStr = _setting(..., "the key's secret")
    name: str = _setting(..., "the bucket, if the server's address names none", pattern=r"^[\w.-]{3,63}$")
    region: str = _setting("us-east-1", "where the bucket is, like eu-central-1", pattern=r"^[a-z0-9-]+$")
    prefix: str = _setting("", "a folder of the bucket to stay in, like films/drafts", pattern=_FOLDER)
    public_url: str = _setting("", "the address from which everyone can read the bucket", pattern=_ADDRESS)
    link_seconds: int = _setting(WEEK, f"the seconds that a signed address works, 1 to {WEEK}", ge=1, le=WEEK)

    @classmethod
    def from_environment(cls) -> Bucket | None:
        """The bucket that the environment names, or None if none of the variables is set.

        Raises:
            Problems: the settings that are missing or wrong.
        """
        names = {name: f"BUCKET_{name.upper()}" for name in cls.model_fields}
        values = {name: os.environ.get(variable, "").strip() for name, variable in names.items()}
        settings = {name: value for name, value in values.items() if value}
        if not settings:
            return None
        try:
            return cls.model_validate(_read_address(settings))
        except ValidationError as error:
            first = names[next(iter(settings))]
            raise Problems(_problem(detail, names, first) for detail in error.errors()) from None


def _problem(detail: Any, names: dict[str, str], first: str) -> Problem:
    setting = str(detail["loc"][0])
    what = Bucket.model_fields[setting].description
    if detail["type"] == "missing":
        return Problem(names[setting], f"is not set, but {first} is: set it to {what}; or unset all.")
    return Problem(names[setting], f"is wrong: set it to {what}.")


def _read_address(settings: dict[str, str]) -> dict[str, str]:
    """The settings, with what the server's address says about the bucket, which is removed from the address.

    The bucket may come before the host, as in worker-comfyui's examples, or after it, as on R2's pages.
    """
    parts = urlsplit(settings.get("endpoint_url", ""))
    before, dot, _ = parts.netloc.partition(".s3")
    bucket = settings.get("name") or parts.path.strip("/") or (before if dot else "")
    host = parts.netloc
    if host.startswith(f"{bucket}.s3"):
        host = host.removeprefix(f"{bucket}.")
    region = re.match(r"s3[.-]([a-z]{2}-[a-z0-9-]+)\.", host)
    derived = {"name": bucket, "region": region[1] if region else ""}
    cleaned = {"prefix": settings.get("prefix", "").strip("/")}
    if host:
        path = parts.path.rstrip("/").removesuffix(f"/{bucket}")
        cleaned["endpoint_url"] = parts._replace(netloc=host, path=path).geturl()
    return {name: text for name, text in {**derived, **settings, **cleaned}.items() if text}
