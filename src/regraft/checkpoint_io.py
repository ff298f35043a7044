"""How a checkpoint gets to the disk: whole or not at all, with the path in what goes wrong."""

import errno
from pathlib import Path
from typing import Any

import torch
from lightning_fabric.plugins.io.torch_io import TorchCheckpointIO

from regraft.faults import full, is_cut_off
from regraft.paths import whole

RESUME = "resume"  # in a checkpoint that a training can go on from (checkpoints.py)
# What Lightning puts into all of them, and only such a training reads: most of the bytes.
STATES = ("optimizer_states", "lr_schedulers", "loops", "callbacks", "current_model_state")


class WholeCheckpoints(TorchCheckpointIO):
    """Lightning's copies from the folder of temporary files: not at once, on another disk.

    What is there to be judged holds weights only; Lightning's own way to that (`weights_only`)
    asks no callback, so an average of the weights would not be in it.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None
    ) -> None:
        if RESUME not in checkpoint:
            checkpoint = {key: part for key, part in checkpoint.items() if key not in STATES}
        save(checkpoint, Path(path))


def save(checkpoint: dict[str, Any], path: Path) -> None:
    """Write a checkpoint; raises OSError with its path."""
    path.parent.mkdir(exist_ok=True)  # not its parents: a run's folder that is gone stays gone
    with whole(path) as unfinished:
        try:
            torch.save(checkpoint, unfinished)
        except RuntimeError as error:
            if not is_cut_off(error):
                raise
            # PyTorch says no more than that; what was written is still there to fill the disk.
            reason = errno.ENOSPC if full([path.parent]) else errno.EIO
            raise OSError(reason, "it could not be written to its end") from error
