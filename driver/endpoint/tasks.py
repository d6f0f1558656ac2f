"""What a job is, for people and metrics."""

from __future__ import annotations

from typing import Any

TASKS = ("image", "video", "batch", "workflow", "unknown")


def task_of(job_input: Any) -> str:
    """One of TASKS, also where the worker will refuse the job."""
    if not isinstance(job_input, dict):
        return "unknown"
    default = "workflow" if "workflow" in job_input else "batch" if "scenes" in job_input else "video"
    task = job_input.get("task", default)
    return task if isinstance(task, str) and task in TASKS else "unknown"
