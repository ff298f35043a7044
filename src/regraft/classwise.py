"""Which classes to collect: the recall of each at every size, and what it is mistaken for.

One class has few validation images, so its own curve would be mostly noise: its error is taken
towards that of all classes, as if OWN more images had been seen, and falls as the curve of all
does. The interval holds the doubt of its images, of that curve, and how much classes differ.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array

from regraft.counts import taken_for
from regraft.curve import QUANTILES, Curve
from regraft.statistics import wilson

LEAST = 10  # validation images of a class, below which nothing is said of its future
OWN = 10  # images that the error of all classes counts for
DIFFERENT = 0.2  # spread of classes' errors around what the curve of all says, as a share of them
CONFUSED = 3  # classes that it is mistaken for, at most


@dataclass(frozen=True)
class Judged:
    """What a training on a subset said of the validation images: counts (C, C), true by said."""

    per_class: int
    replicate: int
    counts: csr_array | np.ndarray

    @property
    def acc(self) -> float:
        return float(self.counts.diagonal().sum() / self.counts.sum())


@dataclass(frozen=True)
class ClassOutlook:
    """One class: recall at every size, now and expected with twice the images of every class.

    `now` and `at_2x` are {"estimate", "low", "high"}, 95 % (Wilson) and nominally 90 %; `at_2x` is
    None where nothing can be said. `mistaken_for` holds shares of its validation images.
    """

    name: str
    val_images: int
    recall: dict[str, float]  # by images per class
    now: dict[str, float]
    at_2x: dict[str, float] | None
    mistaken_for: dict[str, float]


def outlooks(
    judged: Sequence[Judged], names: Sequence[str], curve: Curve | None
) -> tuple[ClassOutlook, ...]:
    """Every class of the validation split, the one that loses most first.

    Without a curve, which a sweep or run may not carry, nothing is said of twice the images.
    """
    sizes = sorted({one.per_class for one in judged})
    means = {n: _mean([one.counts for one in judged if one.per_class == n]) for n in sizes}
    right = {n: mean.diagonal() for n, mean in means.items()}
    last, seen = means[sizes[-1]], means[sizes[-1]].sum(1)
    overall = 1 - right[sizes[-1]].sum() / last.sum()
    found = []
    for label in np.flatnonzero(seen).tolist():
        images = round(float(seen[label]))
        error = 1 - right[sizes[-1]][label] / images
        then = None
        if curve is not None and images >= LEAST:
            then = _then(error, overall, images, curve)
        found.append(
            ClassOutlook(
                name=names[label],
                val_images=images,
                recall={str(n): float(right[n][label] / images) for n in sizes},
                now=_three(1 - error, *wilson(1 - error, images)),
                at_2x=then,
                mistaken_for={
                    names[other]: float(count / images)
                    for other, count in taken_for(last, label, CONFUSED)
                },
            )
        )
    return tuple(sorted(found, key=lambda one: (one.now["estimate"], one.name)))


def _mean(counts: Sequence[csr_array | np.ndarray]) -> csr_array:
    """The mean of counts (C, C), of which most pairs never occur."""
    return sum(map(csr_array, counts[1:]), csr_array(counts[0])) / len(counts)


def _then(error: float, overall: float, images: int, curve: Curve) -> dict[str, float]:
    """The recall that is expected with twice the images."""
    rng = np.random.default_rng(0)
    drawn = (error * images + overall * OWN) / (images + OWN)
    ratios = curve.ratio(2)
    errors = rng.beta(drawn * images + 0.5, (1 - drawn) * images + 0.5, len(ratios))
    errors *= ratios * np.exp(rng.normal(0, DIFFERENT, len(ratios)))
    low, high = (1 - np.clip(np.quantile(errors, QUANTILES[::-1]), 0, 1)).tolist()
    # More images are not expected to harm: of a class without any error seen, all is expected.
    estimate = max(1 - error, 1 - drawn * float(np.median(ratios)))
    return _three(estimate, min(low, estimate), max(high, estimate))


def _three(estimate: float, low: float, high: float) -> dict[str, float]:
    return {"estimate": float(estimate), "low": float(low), "high": float(high)}
