"""The endpoint's side: jobs as RunPod gives them, and what they are answered with."""
