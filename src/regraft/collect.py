"""How `collect` measures: the same head on nested subsets of features computed already."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig

from regraft import forecast
from regraft.classifier import Classifier
from regraft.config import build
from regraft.errors import RegraftError
from regraft.features import Features
from regraft.forecast import Collect
from regraft.head import Head
from regraft.plan import Plan, Strategy

# A subset of ten images is one batch: as many epochs as for the whole set would not train it.
MIN_STEPS = 200
QUIET: dict[str, Any] = {
    "logger": False,
    "enable_checkpointing": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
    "num_sanity_val_steps": 0,
}


def refuse_unless_frozen(strategy: Strategy | Collect, plan: Plan) -> None:
    """A learning curve takes some twenty trainings, which only a frozen trunk makes cheap."""
    if isinstance(strategy, Collect) and not plan.all_kept:
        raise RegraftError(
            "strategy=collect measures its curve on a frozen trunk; leave freeze=all, or use "
            "another strategy"
        )


def answer(
    strategy: Collect,
    classifier: Classifier,
    data: Features,
    make_head: Callable[[], Head],
    cfg: DictConfig,
) -> dict[str, Any]:
    """Measure the curve, write forecast.json and learning_curve.png, and return the forecast.

    Subsets are drawn from the training split and scored on the validation split: the test split
    is for the run's own result.
    """
    labels = data.tensors["train"][1].numpy()

    def train_and_score(subset: np.ndarray, replicate: int) -> float:
        torch.manual_seed(cfg.seed + replicate)
        model = Classifier(
            classifier.backbone,
            classifier.plan,
            make_head(),
            classifier.make_optimizer,
            classifier.make_scheduler,
            classifier.classes,
            from_features=True,
        )
        # One long epoch: Lightning spends more on a short one than a head does on its steps.
        batches = math.ceil(len(subset) / data.batch_size)
        passes = max(cfg.trainer.max_epochs, math.ceil(MIN_STEPS / batches))
        trainer = build(cfg.trainer, max_epochs=1, **QUIET)
        trainer.fit(model, data.only(torch.as_tensor(subset), passes))
        [scores] = trainer.validate(model, data.val_dataloader(), verbose=False)
        return scores["val/acc"]

    points = forecast.measure(strategy, labels, train_and_score, seed=cfg.seed)
    images = len(data.tensors["val"][1])
    found = forecast.forecast(points, strategy.target_acc, val_images=images)
    forecast.write(found, Path(cfg.output_dir))
    return found.as_dict()
