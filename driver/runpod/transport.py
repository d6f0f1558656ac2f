"""HTTP sessions that repeat a request while the other side is overloaded or cannot be reached."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import MaxRetryError, ProtocolError
from urllib3.util import Retry

_T = TypeVar("_T")

TIMEOUT = (10, 60)
"""Seconds to connect, and between two pieces of a response."""
RETRY = Retry(
    8,
    allowed_methods=None,
    status_forcelist=(429, *range(500, 600)),
    raise_on_status=False,
    backoff_factor=0.5,
    backoff_max=30,
    retry_after_max=30,
)
"""Waits for a minute and a half in all, or as Retry-After says, and then returns the last response."""
RETRY_ONCE = RETRY.new(total=5, read=False, other=0, status_forcelist=(429, 503))
"""For requests that must not be carried out twice: repeats only those that were not carried out."""


def session() -> requests.Session:
    """A session that repeats requests of every method, but not once the body of a response has begun."""
    session = requests.Session()
    for scheme in ("http://", "https://"):
        session.mount(scheme, HTTPAdapter(max_retries=RETRY))
    return session


def repeat_broken(request: Callable[[], _T], broken: type[Exception]) -> _T:
    """What `request` returns. It is repeated where a body breaks off, which a session does not do by itself.

    Args:
        request: sends a request and reads the response.
        broken: what it raises if the body breaks off; raised here too once RETRY is exhausted.
    """
    retry = RETRY
    while True:
        try:
            return request()
        except broken as error:
            try:
                retry = retry.increment("GET", error=ProtocolError())
            except MaxRetryError:
                raise error from None
            retry.sleep()
