"""Downloads a job's results from the addresses in its response."""

from __future__ import annotations

from pathlib import Path

import requests

from ..files import sha256_of, written_aside
from .client import EndpointError
from .transport import TIMEOUT

_ATTEMPTS = 5
"""How often a file is requested whose content does not arrive as it was made."""


class _Damaged(Exception):
    """A file did not arrive as it was made; the message says how."""


def fetch(session: requests.Session, url: str, target: Path, sha256: str | None) -> None:
    """Downloads a file, unless `target` is that file already.

    Args:
        session: one of `transport.session`.
        url: its address; the query may be a signature, and is in no message.
        target: replaced once the file is complete.
        sha256: the file's, if the job says so.

    Raises:
        EndpointError: it cannot be downloaded, or is not the file that the job made.
        OSError: `target` cannot be written.
    """
    if not url.startswith(("http://", "https://")):
        raise EndpointError(
            "The results are files on the worker, which cannot be read from outside. Give the endpoint a "
            "bucket with the BUCKET_ variables, and run the same command again."
        )
    if sha256 and target.is_file() and sha256_of(target) == sha256:
        return
    reason = ""
    for _ in range(_ATTEMPTS):
        try:
            with session.get(url, stream=True, timeout=TIMEOUT) as response:
                if response.ok:
                    return _save(response, target, sha256)
                reason = f"HTTP status {response.status_code}"
                break
        except _Damaged as error:
            reason = str(error)
        except requests.RequestException:
            reason = "the server cannot be reached"
            break
    raise EndpointError(
        f"{target.name} cannot be fetched: {reason}. Run the same command again to fetch what is missing."
    )


def _save(response: requests.Response, target: Path, sha256: str | None) -> None:
    with written_aside(target) as aside:
        try:
            with aside.open("wb") as file:
                for block in response.iter_content(2**20):
                    file.write(block)
        except requests.RequestException:
            raise _Damaged("the connection broke") from None
        if sha256 not in (None, sha256_of(aside)):
            raise _Damaged("it is not the file that the job made")
