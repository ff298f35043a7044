"""A callback that writes down what each process of a job sees and has, for tests to compare."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytorch_lightning as pl


class Witness(pl.Callback):
    """rank<number>.json: the training images of each epoch, and the network before and after."""

    def __init__(self, *, folder: str) -> None:
        self.folder, self.seen = Path(folder), []

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.before = tensors(pl_module.backbone)

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.seen.append([])

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: Any, batch: Any, _: int) -> None:
        self.seen[-1].append([digest(image) for image in batch[0]])

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        found = {"seen": self.seen, "before": self.before, "after": tensors(pl_module.backbone)}
        (self.folder / f"rank{trainer.global_rank}.json").write_text(json.dumps(found))


def tensors(module: Any) -> dict[str, str]:
    """A digest of every parameter and buffer."""
    return {name: digest(tensor) for name, tensor in module.net.state_dict().items()}


def digest(tensor: Any) -> str:
    return hashlib.sha256(tensor.detach().cpu().numpy().tobytes()).hexdigest()
