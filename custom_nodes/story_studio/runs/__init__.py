"""What becomes of the prompts that a canvas queues: how far they are, how long they take, and what fails."""
