"""Nodes that take as long as a test needs."""

from __future__ import annotations

import uuid
from typing import Any

TEST_NODES = """
import gc
import time
from pathlib import Path

import comfy.utils
from server import PromptServer

class Slow:
    INPUT_TYPES = classmethod(lambda cls: {"required": {"image": ("IMAGE",), "steps": ("INT",)}})
    RETURN_TYPES, FUNCTION, CATEGORY = ("IMAGE",), "run", "test"

    def run(self, image, steps):
        bar = comfy.utils.ProgressBar(steps)
        for _ in range(steps):
            time.sleep(0.1)
            bar.update(1)
        return (image,)

class Untidy:
    # After its prompt, ComfyUI collects garbage for a second, and `marker` is written as it begins.

    INPUT_TYPES = classmethod(lambda cls: {"required": {"marker": ("STRING",)}})
    RETURN_TYPES, FUNCTION, CATEGORY, OUTPUT_NODE = (), "run", "test", True

    def run(self, marker):
        queue = PromptServer.instance.prompt_queue

        def collect(phase, info):
            if phase == "start" and info["generation"] == 2 and not queue.currently_running:
                gc.callbacks.remove(collect)
                Path(marker).touch()
                time.sleep(1)

        gc.callbacks.append(collect)
        return {}

NODE_CLASS_MAPPINGS = {"Slow": Slow, "Untidy": Untidy}
"""
MANY = 3000
"""Steps of the slow node that take minutes on any machine: a prompt that ends sooner was stopped."""
Graph = dict[str, dict[str, Any]]


def image_graph(steps: int = 0, prefix: str = "image") -> Graph:
    """A new image at each call, so that nothing comes from ComfyUI's cache."""
    colour = uuid.uuid4().int % 0xFFFFFF
    image = {"width": 64, "height": 32, "batch_size": 1, "color": colour}
    return {
        "1": {"class_type": "EmptyImage", "inputs": image},
        "2": {"class_type": "Slow", "inputs": {"image": ["1", 0], "steps": steps}},
        "3": {"class_type": "SaveImage", "inputs": {"images": ["2", 0], "filename_prefix": prefix}},
    }
