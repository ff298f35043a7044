"""What `collect` does: on the frozen trunk, train the same head anew on nested subsets of features
computed already, and forecast from its scores how many more labelled images would do.

The answer holds for a frozen trunk; a strategy that trains the trunk may need fewer or more.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from annotated_types import Ge, Gt, Lt
from omegaconf import DictConfig

from regraft import scores
from regraft.batches import Features
from regraft.classifier import Classifier, stack
from regraft.classwise import Judged
from regraft.config import build
from regraft.counts import confusion
from regraft.curve import MIN_REPLICATES, MIN_SIZES, Point, ladder
from regraft.data.images import Images
from regraft.errors import RegraftError
from regraft.forecast import Forecast, check_target, forecast, with_classes
from regraft.forecast_file import write
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


@dataclass(frozen=True, kw_only=True)
class Collect:
    """The strategy `collect`: the accuracy wanted, and how many subsets to measure the curve on."""

    name: str
    quadrant: str | None
    target_acc: Annotated[float, Gt(0), Lt(1)]
    sizes: Annotated[int, Ge(MIN_SIZES)]
    replicates: Annotated[int, Ge(MIN_REPLICATES)]

    def __post_init__(self) -> None:
        check_target(self.target_acc)
        for key, least in (("sizes", MIN_SIZES), ("replicates", MIN_REPLICATES)):
            if getattr(self, key) < least:
                raise RegraftError(
                    f"strategy.{key}={getattr(self, key)} is too few for a learning curve: "
                    f"use at least {least}"
                )

    def subset_sizes(self, smallest_class: int) -> tuple[int, ...]:
        """Images per class, about geometric, from a twentieth (or 1) to all of the smallest class.

        >>> Collect(name="", quadrant=None, target_acc=0.9, sizes=6, replicates=3).subset_sizes(100)
        (5, 9, 17, 30, 55, 100)
        """
        if smallest_class < MIN_SIZES:
            raise RegraftError(
                "strategy=collect needs a learning curve of at least three sizes, so at least "
                f"three training images in every class; the smallest class has {smallest_class}"
            )
        return ladder(smallest_class, self.sizes)


def refuse_unless_cached(
    strategy: Strategy | Collect, plan: Plan, reason: str, computed: object
) -> None:
    """A learning curve takes some twenty trainings, which only a frozen trunk makes cheap."""
    if not isinstance(strategy, Collect):
        return
    if plan.indices("tune", "reset"):
        raise RegraftError(
            "strategy=collect measures its curve on features of a frozen trunk; leave freeze=all"
        )
    if computed is None:
        raise RegraftError(
            f"strategy=collect needs features that are computed once, which they are not: {reason}"
        )


def refuse_without_val(strategy: Strategy | Collect, images: Images) -> None:
    """Its curve is one of validation accuracies."""
    if isinstance(strategy, Collect) and not images.sizes["val"]:
        raise RegraftError(
            "strategy=collect measures its curve on validation images, and there are none; set "
            "data.val_fraction=0.15"
        )


def answer(
    strategy: Collect,
    classifier: Classifier,
    data: Features,
    make_head: Callable[[], Head],
    cfg: DictConfig,
) -> dict[str, Any]:
    """Measure the curve, write forecast.json and its pictures, and return the forecast.

    Subsets are drawn from the training split and scored on the validation split: the test split
    is for the run's own result. What is said of single classes stands in forecast.json alone.
    """
    found = curve_of(strategy, classifier, data, make_head, cfg)
    write(found, Path(cfg.output_dir))
    return {key: value for key, value in found.as_dict().items() if key != "by_class"}


def curve_of(
    strategy: Collect,
    classifier: Classifier,
    data: Features,
    make_head: Callable[[], Head],
    cfg: DictConfig,
) -> Forecast:
    """The forecast of heads that are trained anew on nested subsets of features.

    Raises RegraftError for features that are constant or not finite, and too few of a class.
    """
    rows, truth = data.tensors["train"]
    labels, names = truth.cpu().numpy(), classifier.classes
    scores.check(rows[: len(labels)].flatten(1).cpu().numpy(), labels)
    judged: list[Judged] = []

    def train_and_score(subset: np.ndarray, replicate: int) -> float:
        torch.manual_seed(cfg.seed + replicate)
        model = Classifier(
            classifier.backbone,
            classifier.plan,
            make_head(),
            classifier.make_optimizer,
            classifier.make_scheduler,
            names,
            cut=classifier.cut,
        )
        # One long epoch: Lightning spends more on a short one than a head does on its steps.
        batches = math.ceil(len(subset) / data.batch_size)
        passes = max(cfg.trainer.max_epochs, math.ceil(MIN_STEPS / batches))
        trainer = build(cfg.trainer, max_epochs=1, **QUIET)
        trainer.fit(model, data.only(torch.as_tensor(subset), passes))
        logits, true = stack(trainer.predict(model, data.val_dataloader()))
        if logits.log_softmax(1).isnan().any():
            return math.nan
        counts = confusion(true.numpy(), logits.argmax(1).numpy(), len(names))
        judged.append(Judged(len(subset) // len(np.unique(labels)), replicate, counts))
        return judged[-1].acc

    points = measure(strategy, labels, train_and_score, seed=cfg.seed, names=names)
    found = forecast(
        points,
        strategy.target_acc,
        val_images=len(data.tensors["val"][1]),
        num_classes=len(names),
    )
    return with_classes(found, judged, names)


def measure(
    collect: Collect,
    labels: np.ndarray,
    train_and_score: Callable[[np.ndarray, int], float],
    *,
    seed: int = 0,
    names: Sequence[str] = (),
) -> list[Point]:
    """Score class-balanced subsets, nested within a replicate, through `train_and_score`.

    It gets the subset's indices into `labels` (sorted) and the replicate, and returns an accuracy.
    Raises RegraftError for a class of too few images, by its name where `names` are given.
    """
    labels = np.asarray(labels)
    classes, counts = np.unique(labels, return_counts=True)
    if len(classes) < 2:
        raise RegraftError("strategy=collect needs training images of at least two classes")
    if (fewest := int(counts.min())) < MIN_SIZES and len(names):
        name = names[int(classes[counts.argmin()])]
        raise RegraftError(
            f"class '{name}' has {fewest} training image{'s' * (fewest != 1)}: a learning curve "
            f"needs at least three sizes, so at least {MIN_SIZES} images of every class"
        )
    points = []
    for replicate in range(collect.replicates):
        rng = np.random.default_rng([seed, replicate])
        orders = [rng.permutation(np.flatnonzero(labels == label)) for label in classes]
        for size in collect.subset_sizes(int(counts.min())):
            subset = np.sort(np.concatenate([order[:size] for order in orders]))
            acc = float(train_and_score(subset, replicate))
            if not 0 <= acc <= 1:
                raise RegraftError(
                    f"training on {size} images per class (replicate {replicate}) scored {acc}, "
                    "which is no accuracy: it diverged, try a lower optimizer.lr"
                )
            points.append(Point(size, replicate, acc))
    return points
