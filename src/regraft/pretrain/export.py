"""What a pretraining run leaves behind: its trunk as a weights file for `backbone.weights=`."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from regraft import card, tracking
from regraft.checkpoints import is_trial
from regraft.classifier import Classifier, read_best
from regraft.data.images import Images

PREFIX = "backbone.net."


class ExportTrunk(pl.Callback):
    """Save the best epoch's trunk, without the head, as safetensors, with a card."""

    def __init__(self, *, path: str) -> None:
        self.path = Path(path)

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert isinstance(pl_module, Classifier)
        if is_trial(trainer):
            return
        best = read_best(trainer, pl_module)
        state = best[1]["state_dict"] if best else pl_module.state_dict()
        trunk = {
            name.removeprefix(PREFIX): tensor
            for name, tensor in state.items()
            if name.startswith(PREFIX)
        }
        config = pl_module.card.get("config", {})
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        about = {
            "method": "supervised",
            "settings": config,
            "seed": config.get("seed"),
            "data": data.described("train") if isinstance(data, Images) else None,
            "backbone": pl_module.backbone.name,
            "input": asdict(pl_module.backbone.input),
            "license": None,
            "versions": tracking.versions(),
        }
        made = card.write(self.path, trunk, about)
        size = self.path.stat().st_size
        print(f"trunk: {self.path} ({size:,} bytes, sha256 {made['sha256']})")
