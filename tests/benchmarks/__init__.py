"""Measurements that compare the studio with stock ComfyUI; `python -m tests.benchmarks` lists them."""
