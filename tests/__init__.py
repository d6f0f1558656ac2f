"""Everything that tests `driver`, the node pack and what ships with them."""

import os

# PyTorch's threads would spin while they wait for each other, which is slow where cores are few and shared.
# Before anything loads PyTorch: it is read only then.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
if "PYTEST_XDIST_WORKER" in os.environ:
    # The other processes of the run have the other cores.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
