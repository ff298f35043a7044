"""How sure a network may say it is: a temperature, and the confidence from which on it speaks.

Both are fitted on the validation split, whose images chose the epoch, too; the test split judges.
Logits are float (N, num_classes) and looked at in parts, so that no copy of all of them is made;
labels are int (N,).
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any

import numpy as np
from annotated_types import Gt, Lt
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp, softmax
from scipy.stats import beta

Split = tuple[np.ndarray, np.ndarray]  # logits and labels
BINS = 15
SURE = 0.9  # that a wanted precision holds for images like those of validation
SHARPER, SOFTER = 0.25, 1.0  # spreads of the logarithm of a temperature before images are seen
_COLDEST, _HOTTEST = 0.01, 100.0
_PART = 2**22  # logits that are looked at together: 32 MB of float64
_FAR = 1e4  # below the highest: as good as never, also where it is minus infinity
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
    images: int | None = None  # of the validation split, on which it stands

    def __post_init__(self) -> None:
        if not 0 < self.temperature < math.inf:
            raise ValueError(f"temperature {self.temperature}")
        if self.threshold is not None and not 0 <= self.threshold <= 1:
            raise ValueError(f"threshold {self.threshold}")

    def apply(self, logits: np.ndarray) -> np.ndarray:
        """The probabilities (N, num_classes), float64."""
        return softmax(logits.astype(np.float64) / self.temperature, axis=1)

    def confidence(self, logits: np.ndarray) -> np.ndarray:
        """The largest probability of each image, float64 (N,)."""
        parts = [1 / np.exp(part / self.temperature).sum(1) for part in _parts(logits)]
        return np.concatenate(parts)

    def abstains(self, confidence: np.ndarray) -> np.ndarray:
        """Of which images (N,) nothing had better be said, by their largest probabilities (N,)."""
        return confidence < (self.threshold or 0.0)


def logits_of(probabilities: np.ndarray) -> np.ndarray:
    """Logits (N, num_classes) that give these probabilities; those of a float32 may be 0."""
    return np.log(np.maximum(probabilities.astype(np.float64), _TINY))


def fit(logits: np.ndarray, labels: np.ndarray, precision: float | None) -> Calibration:
    """The calibration that fits best, with a threshold for `precision`."""
    found = Calibration(temperature(logits, labels), None, precision, len(labels))
    if precision is None:
        return found
    right = logits.argmax(1) == labels
    return replace(found, threshold=threshold(found.confidence(logits), right, precision))


def temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """What to divide logits by, nearer to 1 the fewer images say so.

    The most probable one where its logarithm is thought to be normal around 0, before any image is
    seen: with a spread of SHARPER below 0, as few images must not make a network surer, and of
    SOFTER above. Chosen among other rules by benchmarks/temperature.py.
    """

    def doubt(log_temperature: float) -> float:
        return (log_temperature / (SHARPER if log_temperature < 0 else SOFTER)) ** 2 / 2

    return _least(logits, labels, doubt)


def best_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """What to divide logits by for the least log loss (Guo et al. 2017, On calibration of modern
    neural networks), however few images there are."""
    return _least(logits, labels, lambda _: 0.0)


def _least(logits: np.ndarray, labels: np.ndarray, doubt: Callable[[float], float]) -> float:
    """The temperature of the least log loss and `doubt` of its logarithm.

    Every label counts as right with probability (N + 1) / (N + 2) only: a network that made no
    mistake among N images would otherwise be made infinitely sure (Platt 1999).
    """
    wanted = _of_targets(logits, labels)

    def loss(log_temperature: float) -> float:
        inverse = math.exp(-log_temperature)
        sums = sum(float(logsumexp(part * inverse, axis=1).sum()) for part in _parts(logits))
        return (sums - wanted * inverse + doubt(log_temperature)) / len(labels)

    found = minimize_scalar(loss, bounds=np.log([_COLDEST, _HOTTEST]), method="bounded")
    return float(np.exp(found.x))


def _of_targets(logits: np.ndarray, labels: np.ndarray) -> float:
    """The sum of the logits below the highest, each times how much its class is to be said."""
    images, right = len(labels), (len(labels) + 1) / (len(labels) + 2)
    other = (1 - right) / max(1, logits.shape[1] - 1)
    total, start = 0.0, 0
    for part in _parts(logits):
        own = part[np.arange(len(part)), labels[start : start + len(part)]]
        total += float((other * part.sum(1) + (right - other) * own).sum())
        start += len(part)
    assert start == images
    return total


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


def kept(calibration: Calibration, confidence: np.ndarray, right: np.ndarray) -> dict[str, Any]:
    """How many images are not abstained from, which share that is, and which of them is right.

    `confidence` (N,) and whether each is `right`, bool (N,).
    """
    said = ~calibration.abstains(confidence)
    return {
        "images": int(said.sum()),
        "coverage": round(float(said.mean()), 6),
        "precision": round(float(right[said].mean()), 6) if said.any() else None,
    }


def bins(confidence: np.ndarray, right: np.ndarray) -> list[list[float]]:
    """A reliability diagram: of BINS equal bins of confidence, the images, the mean confidence and
    the accuracy; bins without images are left out.

    `confidence` (N,) and whether each is `right`, bool (N,).
    """
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


def report(calibration: Calibration, val: Split | None, test: Split | None) -> dict[str, Any]:
    """What result.json says of it: how much is kept of `val` and `test`, each logits and labels,
    and what it does on `test`, or on `val` where there is none."""
    told: dict[str, Any] = {**vars(calibration)}
    for name, split in (("val", val), ("test", test)):
        if split is not None:
            logits, labels = split
            right, sure = logits.argmax(1) == labels, calibration.confidence(logits)
            before = bins(Calibration(1.0).confidence(logits), right)
            kept_of = kept(calibration, sure, right)
            told |= {name: kept_of, "before": before, "after": bins(sure, right)}
    return told


def _parts(logits: np.ndarray) -> Iterator[np.ndarray]:
    """The rows of logits as float64, some of them at a time, with 0 as the highest of each."""
    rows = max(1, _PART // logits.shape[1])
    for start in range(0, len(logits), rows):
        part = logits[start : start + rows].astype(np.float64)
        yield np.maximum(part - part.max(1, keepdims=True), -_FAR)
