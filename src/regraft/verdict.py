"""How good the best weights are: accuracy, loss and calibration, as result.json has them."""

import logging
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from regraft import calibration
from regraft.calibration import Calibration
from regraft.counts import by_class
from regraft.errors import RegraftError
from regraft.tracking import Record

log = logging.getLogger(__name__)
Said = tuple[Tensor, Tensor]  # logits (N, num_classes) of a split's images, and labels (N,)
Judged = tuple[Calibration, dict[str, Any], dict[str, float]]  # see `judged`
AS_IT_IS = Calibration(1.0)
_ROWS = 1024


def metrics(
    split: str, logits: Tensor, labels: Tensor, known: Calibration = AS_IT_IS
) -> dict[str, float]:
    """Top-1 accuracy, loss, macro F1, calibration error (15 bins; Guo et al. 2017) and balanced
    accuracy.

    Of logits (N, num_classes) and labels (N,). The loss is that of the logits as they are, as in
    training; the error is that of calibrated probabilities.
    """
    predicted = logits.argmax(1)
    counted = by_class(labels.numpy(), predicted.numpy(), logits.shape[1])
    right = (predicted == labels).numpy()
    values = {
        "acc": counted.acc,
        "loss": loss(logits, labels),
        "macro_f1": counted.macro_f1,
        # Not torchmetrics', which puts a confidence of exactly 1 into a bin of its own.
        "ece": calibration.error(calibration.bins(known.confidence(logits.numpy()), right)),
        "balanced_acc": counted.balanced_acc,
    }
    return {f"{split}/{name}": round(value, 6) for name, value in values.items()}


def loss(logits: Tensor, labels: Tensor) -> float:
    """The mean cross-entropy; not of probabilities, which are rounded to 0 and 1."""
    parts = zip(logits.split(_ROWS), labels.split(_ROWS), strict=True)
    total = sum(float(F.cross_entropy(z, y, reduction="sum").double()) for z, y in parts)
    return total / len(labels)


def judged(precision: float | None, val: Said | None, test: Said | None) -> Judged:
    """The calibration that fits `val`, and the report and the metrics that result.json has.

    Without `val` nothing is fitted; without `test` what is said of the calibration is said of
    `val`. Raises RegraftError for logits that are no numbers.
    """
    there = {split: said for split, said in (("val", val), ("test", test)) if said is not None}
    for split, (logits, _) in there.items():
        _refuse_nan(split, logits)
    arrays = {split: (logits.numpy(), labels.numpy()) for split, (logits, labels) in there.items()}
    found = Calibration(1.0, None, precision, 0)
    if val is not None:
        found = calibration.fit(*arrays["val"], precision)
    told = calibration.report(found, arrays.get("val"), arrays.get("test"))
    measured: dict[str, float] = {}
    for split, said in there.items():
        measured |= metrics(split, *said, found)
    # In earlier runs `test/ece` was that of the network as it is: the first of these is the same.
    before, after = (round(calibration.error(told[name]), 6) for name in ("before", "after"))
    last = [*there][-1]
    return (
        found,
        told,
        measured | {f"{last}/ece_calibrated": after, f"{last}/ece_uncalibrated": before},
    )


def _refuse_nan(split: str, logits: Tensor) -> None:
    if any(part.logsumexp(1).isnan().any() for part in logits.split(_ROWS)):
        raise RegraftError(
            f"what the network says of {split} images is no number (NaN): the training diverged; "
            "lower optimizer.lr"
        )


def judge(
    record: Record, wanted: calibration.Wanted, val: Said | None, test: Said | None
) -> Calibration:
    """Fit the calibration on `val`, record it and how good the network is, and return it."""
    found, told, measured = judged(wanted.precision, val, test)
    record.add(metrics=measured, calibration=told)
    if found.precision is not None and found.threshold is None:
        why = calibration.unreached(found.precision, found.images or 0)
        log.warning("calibration.precision=%s: %s; none is set", found.precision, why)
    return found
