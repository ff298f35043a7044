"""Is the data similar to the source domain? Functionally: how much of the way do the pretrained
features go that features of the same network with random weights do not.

A domain is what its images are and what is asked of them, so the labels take part. The share of
the random trunk's errors that the pretrained one does not make is near 1 where the classes lie
open in the features, and near 0 where learning another domain was of no use.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from regraft import scores
from regraft.scores import Probe
from regraft.statistics import mcnemar

DRAWS = 2000
FEWEST = 5  # errors of random features: of fewer no share is worth anything
QUANTILES = (0.025, 0.975)


@dataclass(frozen=True)
class Depth:
    """The linear probes on what one stage gives, with pretrained and with random weights."""

    stage: str
    pretrained: Probe
    random: Probe


@dataclass(frozen=True)
class Similarity:
    """Cross-validated probes of the training images, and what they say of the source domain."""

    depths: tuple[Depth, ...]  # from the input up
    neighbours: Depth  # of the last stage's features
    majority: float
    draws: np.ndarray  # the share, for each resampling of the images

    @property
    def share(self) -> float:
        """Of the random trunk's errors, how many the pretrained one does not make; 1 at most."""
        return removed(self.base.right, self.best.pretrained.right)

    @property
    def can_be_told(self) -> bool:
        """Whether random features make errors enough for others to be avoided."""
        return int((~self.base.right).sum()) >= FEWEST

    @property
    def interval(self) -> tuple[float, float]:
        """95 % of the share, over the images."""
        low, high = np.quantile(self.draws, QUANTILES)
        return float(low), float(high)

    @property
    def best(self) -> Depth:
        """The depth whose pretrained features do best; of equal ones the deepest."""
        return max(reversed(self.depths), key=lambda depth: depth.pretrained.acc)

    @property
    def base(self) -> Probe:
        """Random features at the depth where they do best."""
        return max((depth.random for depth in self.depths), key=lambda probe: probe.acc)

    @property
    def helpful(self) -> int:
        """So many leading stages help: the features of those above are no better."""
        return self.depths.index(self.best) + 1

    def worse_above(self) -> float:
        """The p of the last stage being as good as the best one (exact McNemar); 1 if it is it."""
        best, last = self.best.pretrained.right, self.depths[-1].pretrained.right
        return mcnemar(int((best & ~last).sum()), int((last & ~best).sum()))

    def as_dict(self) -> dict[str, Any]:
        """Plain data for advice.json."""
        rows = [*self.depths, self.neighbours]
        return {
            "share_of_errors_removed": self.share,
            "interval": self.interval,
            "majority": self.majority,
            "images": len(self.best.pretrained.right),
            "probes": [
                {
                    "features": row.stage,
                    "probe": "nearest neighbours" if row is self.neighbours else "linear",
                    **{
                        weights: {"acc": probe.acc, "interval": probe.interval}
                        for weights, probe in (
                            ("pretrained", row.pretrained),
                            ("random", row.random),
                        )
                    },
                }
                for row in rows
            ],
            "helpful_stages": self.helpful,
            "p_of_the_stages_above": self.worse_above(),
        }


def measure(
    pretrained: Mapping[str, np.ndarray],
    random: Mapping[str, np.ndarray],
    labels: np.ndarray,
    *,
    seed: int = 0,
) -> Similarity:
    """Probe the features (N, D) of every stage, from the input up, under both sets of weights.

    Raises RegraftError for features that are constant or not finite, and for probes that do not
    converge.
    """
    depths = tuple(
        Depth(
            stage,
            scores.linear(features, labels, seed=seed),
            scores.linear(random[stage], labels, seed=seed),
        )
        for stage, features in pretrained.items()
    )
    last = depths[-1].stage
    neighbours = Depth(
        last,
        scores.neighbours(pretrained[last], labels),
        scores.neighbours(random[last], labels),
    )
    return Similarity(depths, neighbours, scores.majority(labels), _resampled(depths, seed))


def _resampled(depths: tuple[Depth, ...], seed: int) -> np.ndarray:
    """The share in each resampling of the images, (DRAWS,), each with its own best depths."""
    rng = np.random.default_rng(seed)
    count = len(depths[0].random.right)
    times = rng.multinomial(count, np.full(count, 1 / count), DRAWS)  # how often each is drawn

    def fewest(probes: Iterable[Probe]) -> np.ndarray:
        return np.min([times @ ~probe.right for probe in probes], axis=0)

    base = fewest(depth.random for depth in depths)
    return 1 - (fewest(depth.pretrained for depth in depths) + 0.5) / (base + 0.5)


def removed(base: np.ndarray, better: np.ndarray) -> float:
    """The share of the errors of `base` that `better` does not make; half an error each is added.

    >>> round(removed(np.array([False, False, True]), np.array([True, True, True])), 2)
    0.8
    """
    return float(1 - ((~better).sum() + 0.5) / ((~base).sum() + 0.5))
