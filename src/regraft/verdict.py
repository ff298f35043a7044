"""How good the best weights are: accuracy, loss and calibration, as result.json has them."""

import logging
from typing import Any

import torch
from torch import Tensor
from torchmetrics.functional.classification import multiclass_accuracy, multiclass_f1_score

from regraft import calibration
from regraft.errors import RegraftError
from regraft.tracking import Record

log = logging.getLogger(__name__)


def metrics(split: str, probabilities: Tensor, labels: Tensor) -> dict[str, float]:
    """Top-1 accuracy, loss, macro F1 and expected calibration error (15 bins; Guo et al. 2017).

    Probabilities are (N, num_classes), labels (N,).
    """
    if not probabilities.isfinite().all():
        raise RegraftError(
            f"what the network says of {split} images is no number (NaN): the training diverged; "
            "lower optimizer.lr"
        )
    classes = probabilities.shape[1]
    correct = probabilities[torch.arange(len(labels)), labels].clamp_min(1e-12)
    values: dict[str, Tensor | float] = {
        "acc": multiclass_accuracy(probabilities, labels, classes, average="micro"),
        "loss": -correct.log().mean(),
        "macro_f1": multiclass_f1_score(probabilities, labels, classes, average="macro"),
        # Not torchmetrics', which puts a confidence of exactly 1 into a bin of its own.
        "ece": calibration.error(calibration.bins(probabilities.numpy(), labels.numpy())),
    }
    return {f"{split}/{name}": round(float(value), 6) for name, value in values.items()}


def calibrated(
    precision: float | None, val: tuple[Tensor, Tensor], test: tuple[Tensor, Tensor]
) -> tuple[calibration.Calibration, dict[str, Any], dict[str, float]]:
    """The calibration that fits `val`, and the report and the metrics that result.json has of it.

    Each split is probabilities (N, num_classes) and labels (N,).
    """
    arrays = [(probabilities.numpy(), labels.numpy()) for probabilities, labels in (val, test)]
    found = calibration.fit(*arrays[0], precision)
    told = calibration.report(found, *arrays)
    return found, told, {"test/ece_calibrated": round(calibration.error(told["after"]), 6)}


def calibrate(
    record: Record,
    wanted: calibration.Wanted,
    val: tuple[Tensor, Tensor],
    test: tuple[Tensor, Tensor],
) -> dict[str, float | None]:
    """Fit the calibration on `val`, record what it does to `test`, and return it to be kept.

    Each is probabilities (N, num_classes) and labels (N,).
    """
    found, told, measured = calibrated(wanted.precision, val, test)
    record.add(calibration=told)
    record.add(metrics=measured)
    if found.precision is not None and found.threshold is None:
        why = calibration.unreached(found.precision, len(val[1]))
        log.warning("calibration.precision=%s: %s; none is set", found.precision, why)
    return vars(found)
