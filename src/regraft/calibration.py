"""How sure a network may say it is: a temperature, and the confidence from which on it speaks.

Both are fitted on the validation split, whose images chose the epoch, too; the test split judges.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from annotated_types import Gt, Lt
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax
from scipy.stats import beta

BINS = 15
SURE = 0.9  # that a wanted precision holds for images like those of validation
_COLDEST, _HOTTEST = 0.01, 100.0
_TINY = float(np.finfo(np.float32).tiny)  # what a probability of 0 in a float32 may have been


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What share of the images that are not abstained from should be told right."""

    precision: Annotated[float, Gt(0), Lt(1)] | None


@dataclass(frozen=True)
class Calibration:
    """Divide the logits by `temperature`; abstain where the largest probability is then below
    `threshold`. It is None where no precision is wanted, or none reaches it."""

    temperature: float
    threshold: float | None = None
    precision: float | None = None  # that was wanted

    def __post_init__(self) -> None:
        if not 0 < self.temperature < math.inf:
            raise ValueError(f"temperature {self.temperature}")
        if self.threshold is not None and not 0 <= self.threshold <= 1:
            raise ValueError(f"threshold {self.threshold}")

    def apply(self, probabilities: np.ndarray) -> np.ndarray:
        """Calibrated probabilities (N, num_classes), of those that the network gives."""
        return softmax(_logits(probabilities) / self.temperature, axis=1)

    def abstains(self, calibrated: np.ndarray) -> np.ndarray:
        """Of which images (N,) nothing had better be said."""
        return calibrated.max(1) < (self.threshold or 0.0)


def fit(probabilities: np.ndarray, labels: np.ndarray, precision: float | None) -> Calibration:
    """The calibration that fits probabilities (N, num_classes) and true classes int (N,) best."""
    cold = Calibration(temperature(probabilities, labels))
    if precision is None:
        return cold
    calibrated = cold.apply(probabilities)
    right = calibrated.argmax(1) == labels
    return Calibration(cold.temperature, threshold(calibrated.max(1), right, precision), precision)


def temperature(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """What to divide logits by for the least log loss (Guo et al. 2017, On calibration of modern
    neural networks).

    Every label counts as right with probability (N + 1) / (N + 2) only: a network that made no
    mistake among N images would otherwise be made infinitely sure (Platt 1999).
    """
    logits, images = _logits(probabilities), len(labels)
    others = 1 / (images + 2) / max(1, logits.shape[1] - 1)
    targets = np.full(logits.shape, others)
    targets[np.arange(images), labels] = (images + 1) / (images + 2)

    def loss(log_temperature: float) -> float:
        scaled: np.ndarray = log_softmax(logits / np.exp(log_temperature), axis=1)
        return -float((targets * scaled).sum(1).mean())

    found = minimize_scalar(loss, bounds=np.log([_COLDEST, _HOTTEST]), method="bounded")
    return float(np.exp(found.x))


def threshold(confidence: np.ndarray, right: np.ndarray, precision: float) -> float | None:
    """The lowest confidence from which on the wanted share of images like these is told right.

    `confidence` (N,) and whether each is `right`, bool (N,). What counts is not the share among
    these images, which the choice flatters, but what it is at least, at the level SURE (Clopper
    and Pearson 1934; Geifman and El-Yaniv 2017, Selective classification for deep neural networks).
    Images of one confidence are in or out together. None if no threshold reaches the precision.
    """
    order = np.argsort(-confidence, kind="stable")
    sure = confidence[order]
    share = at_least(np.cumsum(right[order]), np.arange(1, len(order) + 1))
    last = np.append(sure[1:] != sure[:-1], True)  # of those that are equally sure
    enough = np.flatnonzero(last & (share >= precision))
    return float(sure[enough[-1]]) if len(enough) else None


def at_least(right: np.ndarray, images: np.ndarray) -> np.ndarray:
    """What share is right at least, at the level SURE, where so many of so many images (N,) are."""
    share: np.ndarray = beta.ppf(1 - SURE, right, images - right + 1)
    return np.where(right > 0, share, 0.0)


def unreached(precision: float, images: int) -> str:
    """What to say where no threshold reaches a precision on so many validation images."""
    fewest = math.ceil(math.log(1 - SURE) / math.log(precision))
    return (
        f"no threshold reaches it on the {images} validation images, at a level of {SURE:.0%}; "
        f"even without a mistake it takes {fewest} of them: ask for less, or validate on more"
    )


def kept(calibration: Calibration, calibrated: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    """How many images are not abstained from, which share that is, and which of them is right."""
    said = ~calibration.abstains(calibrated)
    right = (calibrated.argmax(1) == labels)[said]
    return {
        "images": int(said.sum()),
        "coverage": round(float(said.mean()), 6),
        "precision": round(float(right.mean()), 6) if said.any() else None,
    }


def bins(probabilities: np.ndarray, labels: np.ndarray) -> list[list[float]]:
    """A reliability diagram: of BINS equal bins of confidence, the images, the mean confidence and
    the accuracy; bins without images are left out."""
    confidence, right = probabilities.max(1), probabilities.argmax(1) == labels
    which = np.clip(np.ceil(confidence * BINS).astype(int) - 1, 0, BINS - 1)
    inside = (which == number for number in range(BINS))
    return [
        [
            int(chosen.sum()),
            round(float(confidence[chosen].mean()), 6),
            round(float(right[chosen].mean()), 6),
        ]
        for chosen in inside
        if chosen.any()
    ]


def error(diagram: Sequence[Sequence[float]]) -> float:
    """Expected calibration error of a reliability diagram (Guo et al. 2017)."""
    images = sum(count for count, _, _ in diagram)
    return sum(count * abs(sure - acc) for count, sure, acc in diagram) / images


def report(
    calibration: Calibration,
    val: tuple[np.ndarray, np.ndarray],
    test: tuple[np.ndarray, np.ndarray],
) -> dict[str, Any]:
    """What result.json says of it: what was fitted on `val` and what that does on `test`, each
    probabilities (N, num_classes) as the network gave them and labels (N,)."""
    after = {name: calibration.apply(p) for name, (p, _) in (("val", val), ("test", test))}
    return {
        **vars(calibration),
        "val": kept(calibration, after["val"], val[1]),
        "test": kept(calibration, after["test"], test[1]),
        "before": bins(*test),
        "after": bins(after["test"], test[1]),
    }


def _logits(probabilities: np.ndarray) -> np.ndarray:
    return np.log(np.maximum(probabilities.astype(np.float64), _TINY))
