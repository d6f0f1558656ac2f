import os

# PyTorch's threads would spin while they wait for each other, which is slow where cores are few and shared.
# Before anything loads PyTorch: it is read only then.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
