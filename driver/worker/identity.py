"""What a job is called: its seed, its folder and the addresses of its results follow from it."""

from __future__ import annotations

import hashlib
import re

from .schema import Job

_MOST = 80


def identity_of(job: Job, job_id: str) -> str:
    """The job's idempotency key, marked as such, or else RunPod's id. One identity is one job."""
    # No id of RunPod's begins like this.
    return f"key-{job.idempotency_key}" if job.idempotency_key else job_id


def path_name(identity: str) -> str:
    """An identity as a name in paths and addresses; different for each identity."""
    safe = re.sub(r"[^A-Za-z0-9_.-]+", "-", identity).lstrip(".")[:_MOST]
    # Or two jobs could get the same name.
    return safe if safe == identity else f"job-{safe}-{hashlib.sha256(identity.encode()).hexdigest()[:12]}"
