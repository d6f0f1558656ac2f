"""ComfyUI from outside: its client, its process, the instance that is kept running, the queue of its jobs."""
