"""The other processes of a job on several devices: each trains its share and records nothing."""

import atexit
import logging
import os
import shutil
import sys
import tempfile
from functools import cache


@cache  # Lightning takes its variables out of the environment when a training has ended
def rank() -> int:
    """Which process of a job on several devices this is; 0, the first, is the one that records."""
    several = _number("WORLD_SIZE", 1) > 1
    return _number("LOCAL_RANK", 0) if several else 0


def _number(name: str, otherwise: int) -> int:
    """The number in a variable that launchers of processes set; others may set it to anything."""
    text = os.environ.get(name, "").strip()
    return int(text) if text.isdecimal() else otherwise


def set_apart() -> list[str]:
    """Make this process silent; the words that give it a folder of its own, removed at its end.

    It runs the same story as the first one. What it would leave, that one leaves.
    """
    folder = tempfile.mkdtemp(prefix="regraft-rank-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123
    logging.disable(logging.WARNING)
    os.environ["WANDB_MODE"] = "disabled"
    os.environ.pop("HYDRA_FULL_ERROR", None)  # the first process's own
    return [f"hydra.run.dir='{folder}'", "hydra.output_subdir=null"]
