"""A callback that writes down what each process of a job sees and has, for tests to compare."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytorch_lightning as pl


class Witness(pl.Callback):
    """rank<number>.json in a folder: the training as it went, step by step.

    `seen`: the digests of the training images of each batch of each epoch; `losses`: of each
    batch, in full precision; `rates`: of each step, learning rate by parameter group; `modes`: of
    each batch, the stages that were in train mode; `before` and `after`: a digest of each
    parameter and buffer of the backbone.

    Of a job that is stopped by an exception there is no `after`.
    """

    def __init__(self, *, folder: str) -> None:
        self.folder = Path(folder)
        self.found: dict[str, Any] = {"seen": [], "losses": [], "rates": [], "modes": []}

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.found["before"] = tensors(pl_module)

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.found["seen"].append([])

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: Any, batch: Any, _: int) -> None:
        if not self.found["seen"]:  # a job that goes on within an epoch
            self.found["seen"].append([])
        self.found["seen"][-1].append([digest(image) for image in batch[0]])
        groups = trainer.optimizers[0].param_groups
        self.found["rates"].append({g.get("name", str(n)): g["lr"] for n, g in enumerate(groups)})
        modes = {name for name, module in pl_module.backbone.net.named_modules() if module.training}
        self.found["modes"].append(sorted(modes))

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, _: int
    ) -> None:
        loss = outputs["loss"] if isinstance(outputs, dict) else outputs
        self.found["losses"].append(float(loss))

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.found["after"] = tensors(pl_module)
        self.write(trainer)

    def on_exception(self, trainer: pl.Trainer, pl_module: Any, exception: BaseException) -> None:
        self.write(trainer)

    def write(self, trainer: pl.Trainer) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"rank{trainer.global_rank}.json"
        path.write_text(json.dumps(self.found))


def tensors(module: Any) -> dict[str, str]:
    """A digest of every parameter and buffer of the backbone, by its name in timm's network."""
    return {name: digest(tensor) for name, tensor in module.backbone.net.state_dict().items()}


def digest(tensor: Any) -> str:
    return hashlib.sha256(tensor.detach().cpu().numpy().tobytes()).hexdigest()
