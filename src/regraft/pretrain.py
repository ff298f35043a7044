"""What a pretraining run leaves behind: its trunk as a weights file for `backbone.weights=`."""

import hashlib
from pathlib import Path

import pytorch_lightning as pl
from safetensors.torch import save_file

from regraft.classifier import Classifier, read_best

PREFIX = "backbone.net."


class ExportTrunk(pl.Callback):
    """Save the best epoch's trunk, without the head, as safetensors."""

    def __init__(self, *, path: str) -> None:
        self.path = Path(path)

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert isinstance(pl_module, Classifier)
        best = read_best(trainer, pl_module)
        state = best[1]["state_dict"] if best else pl_module.state_dict()
        trunk = {
            name.removeprefix(PREFIX): tensor.contiguous().cpu()
            for name, tensor in state.items()
            if name.startswith(PREFIX)
        }
        save_file(trunk, self.path)
        sha256 = hashlib.sha256(self.path.read_bytes()).hexdigest()
        print(f"trunk: {self.path} ({self.path.stat().st_size:,} bytes, sha256 {sha256})")
