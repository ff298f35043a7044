"""The collect strategy's measuring: the same head on nested subsets of features already computed."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from omegaconf import DictConfig, OmegaConf

from regraft import forecast
from regraft.classifier import Classifier
from regraft.config import build
from regraft.errors import RegraftError
from regraft.features import Features
from regraft.forecast import Collect
from regraft.head import Head
from regraft.plan import Plan, Strategy

# A subset of ten images is one batch: as many epochs as the whole set gets would leave it untrained.
MIN_STEPS = 200


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
        part = data.subset(torch.as_tensor(subset))
        model = Classifier(
            classifier.backbone,
            classifier.plan,
            make_head(),
            classifier.make_optimizer,
            classifier.make_scheduler,
            classifier.classes,
            from_features=True,
        )
        trainer = _quick_trainer(cfg.trainer, steps_per_epoch=len(part.train_dataloader()))
        trainer.fit(model, part.train_dataloader())
        [scores] = trainer.validate(model, part.val_dataloader(), verbose=False)
        return scores["val/acc"]

    points = forecast.measure(strategy, labels, train_and_score, seed=cfg.seed)
    images = len(data.tensors["val"][1])
    found = forecast.forecast(points, strategy.target_acc, val_images=images)
    forecast.write(found, Path(cfg.output_dir))
    return found.as_dict()


def _quick_trainer(node: DictConfig, *, steps_per_epoch: int) -> pl.Trainer:
    """The run's own trainer without anything that watches or writes."""
    least = math.ceil(MIN_STEPS / steps_per_epoch)
    longer = OmegaConf.merge(node, {"max_epochs": max(node.max_epochs, least)})
    assert isinstance(longer, DictConfig)
    return build(
        longer,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )
