"""Is the data set big? It is small while more of the same data would still pay: by the slope of
the learning curve of a linear probe on frozen features.

Where there are too few images for a curve, images per class decide, and it is said so.
"""

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from regraft import scores
from regraft.curve import MIN_SIZES, QUANTILES, Curve, Point, fit, ladder


@dataclass(frozen=True)
class Size:
    """What twice the images would bring, or only how many there are."""

    images: int
    classes: int
    smallest: int  # images of the rarest class, of those that were measured on
    largest: int  # and of the most frequent one
    curve: Curve | None
    points: tuple[Point, ...]
    draws: np.ndarray  # the gain of doubling, one per resampled curve; empty without a curve
    why_not: str  # there is no curve

    @property
    def per_class(self) -> float:
        return self.images / self.classes

    @property
    def gain(self) -> float | None:
        """Accuracy that twice the images are expected to bring."""
        return float(np.median(self.draws)) if len(self.draws) else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """Nominal 90 %, as of every learning curve here."""
        if not len(self.draws):
            return None
        low, high = np.quantile(self.draws, QUANTILES)
        return float(low), float(high)

    def without_curve(self, why: str) -> "Size":
        """The same where the curve says nothing."""
        return replace(self, curve=None, draws=np.array([]), why_not=why)

    def as_dict(self) -> dict[str, Any]:
        """Plain data for advice.json."""
        return {
            "images": self.images,
            "classes": self.classes,
            "images_per_class": self.per_class,
            "images_of_the_rarest_class": self.smallest,
            "images_of_the_most_frequent_class": self.largest,
            "gain_of_doubling": self.gain,
            "interval": self.interval,
            "no_curve_because": self.why_not or None,
            "points": [asdict(point) for point in self.points],
        }


def measure(
    train: tuple[np.ndarray, np.ndarray],
    val: tuple[np.ndarray, np.ndarray],
    *,
    images: int,
    sizes: int,
    replicates: int,
    seed: int = 0,
) -> Size:
    """The learning curve of a linear probe; `train` and `val` are features (N, D) and labels (N,).

    Subsets keep the shares of the classes, since more of the same data would. `images` are those
    of the whole training split, of which `train` may be a part.
    """
    features, labels = train
    counts = np.bincount(labels)
    present = counts[counts > 0]
    made = Size(
        images, len(present), int(present.min()), int(present.max()), None, (), np.array([]), ""
    )
    steps = ladder(len(labels) // len(present), sizes)
    if len(steps) < MIN_SIZES:
        return replace(made, why_not=f"a learning curve needs {MIN_SIZES} images per class")
    points = []
    for replicate in range(replicates):
        rng = np.random.default_rng([seed, replicate])
        orders = [rng.permutation(np.flatnonzero(labels == c)) for c in np.flatnonzero(counts)]
        for step in steps:
            share = step / steps[-1]
            subset = np.concatenate([o[: max(1, round(share * len(o)))] for o in orders])
            some, of = features[subset], labels[subset]  # which know nothing of the others
            model = scores.fit_linear(some, of, scores.best_penalty(some, of, seed))
            points.append(Point(step, replicate, float(model.score(*val))))
    curve = fit(points, val_images=len(val[1]))
    draws = curve.gains(2, now=max(curve.now, images / len(present)))
    return replace(made, curve=curve, points=tuple(points), draws=draws)
