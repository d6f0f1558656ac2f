"""HTTP sessions that repeat a request while the other side is overloaded or cannot be reached."""

from __future__ import annotations

import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

TIMEOUT = (10, 60)
"""Seconds to connect, and between two pieces of a response."""
RETRY = Retry(
    8,
    allowed_methods=None,
    status_forcelist=(429, *range(500, 600)),
    raise_on_status=False,
    backoff_factor=0.5,
    backoff_max=30,
    retry_after_max=120,
)
"""Waits for a minute and a half in all, or as Retry-After says, and then returns the last response."""
RETRY_ONCE = RETRY.new(read=False, other=0, status_forcelist=(429, 503))
"""For requests that must not be carried out twice: repeats only those that were not carried out."""


def session() -> requests.Session:
    """A session that repeats requests of every method, but not once the body of a response has begun."""
    session = requests.Session()
    for scheme in ("http://", "https://"):
        session.mount(scheme, HTTPAdapter(max_retries=RETRY))
    return session
