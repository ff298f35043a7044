"""A quiet, offline environment, without what the person at this machine has set for their work.

To be called before torch is imported; every process that is started from here inherits it.
"""

import os

OWN = ("WANDB_", "REGRAFT_", "HYDRA_")
KEPT = {"REGRAFT_TEST_RUNS"}  # where trained runs are kept between two calls of the tests


def make_private() -> None:
    """Set what tests and golden losses need, and remove what would change them."""
    # The workers of pytest-xdist share the cores among themselves: each computes with one thread.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    # A worker's cache is the one that the first process has made for all of them.
    kept = KEPT | ({"REGRAFT_CACHE"} if "PYTEST_XDIST_WORKER" in os.environ else set())
    for name in [*os.environ]:
        if name.startswith(OWN) and name not in kept:
            del os.environ[name]
    os.environ.pop("FORCE_COLOR", None)
    os.environ.update(
        WANDB_MODE="offline",
        WANDB_SILENT="true",
        COLUMNS="120",
        NO_COLOR="1",
        _TYPER_FORCE_DISABLE_TERMINAL="1",  # typer colours its output for some CI services
    )
