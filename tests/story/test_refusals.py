"""Why ComfyUI refuses a node: what is wrong, and what to do."""

from __future__ import annotations

from typing import Any

import pytest

from story_studio.story.refusals import reason_of


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (
            {"type": "custom_validation_failed", "details": "audio - Invalid audio file: my voice.wav"},
            "my voice.wav is not in the input folder: choose another file.",
        ),
        (
            {"type": "required_input_missing", "details": "audio", "extra_info": {"input_name": "audio"}},
            "audio is missing: set it, or link something to it.",
        ),
        (
            {
                "type": "value_not_in_list",
                "details": "vae_name: 'a' not in []",
                "extra_info": {"input_name": "vae_name", "received_value": "a.safetensors"},
            },
            "a.safetensors is not among the choices of vae_name: choose another, or add the file and reload.",
        ),
        ({"type": "new", "message": "Something else", "details": ""}, "Something else"),
        ({"type": "new", "message": "Something else", "details": "here"}, "Something else: here"),
    ],
)
def test_a_refusal_says_what_to_do(error: dict[str, Any], reason: str) -> None:
    assert reason_of([error]) == reason
