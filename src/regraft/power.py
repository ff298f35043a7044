"""Which true lead the seeds and test images of a sweep could have shown."""

import math
from collections.abc import Sequence

import numpy as np
from scipy import optimize, stats

from regraft.statistics import LEVEL, Doubt

WANTED = 0.8  # of sweeps in which a lead is to be found
_NONE = 1e-24  # variance of seeds that all agree
_QUANTILES = (np.arange(60) + 0.5) / 60


def visible_lead(doubts: Sequence[Doubt], *, wanted: float = WANTED) -> float | None:
    """The lead in accuracy over all others that is found in this share of sweeps; None if none is.

    `doubts` are those of the others against the best, which are taken to be equal and to scatter
    as these did. Of one seed it is the lead between the trained networks, as far as images tell.
    """
    seeds, images = (
        float(np.mean([getattr(one, part) for one in doubts])) for part in ("seeds", "images")
    )
    freedom = doubts[0].freedom
    if seeds + images < 1e-12:
        return None

    def missing(lead: float) -> float:
        return found(lead, seeds, images, freedom, rivals=len(doubts)) - wanted

    return float(optimize.brentq(missing, 0.0, 1.0)) if missing(0.0) < 0 < missing(1.0) else None


def found(lead: float, seeds: float, images: float, freedom: float, *, rivals: int) -> float:
    """The share of sweeps in which this lead beats all rivals, by the test of `Doubt.p`.

    The variances are those of a difference; the mean over what the seeds' variance is estimated
    to be (chi square), and over the luck of the leader itself.
    """
    one = math.sqrt((seeds + images) / 2)  # the standard deviation of one mean
    luck = lead / one + stats.norm.ppf(_QUANTILES)
    enough = needed(seeds, images, freedom) / one
    return float((stats.norm.cdf(luck[:, None] - enough[None]) ** rivals).mean())


def needed(seeds: float, images: float, freedom: float) -> np.ndarray:
    """The smallest significant differences, for each of what the seeds' variance may look like."""
    level = (1 + LEVEL) / 2
    if math.isinf(freedom):
        return np.array([stats.norm.ppf(level) * math.sqrt(images)])
    seen = max(seeds, _NONE) * stats.chi2.ppf(_QUANTILES, freedom) / freedom
    both = stats.t.ppf(level, freedom * ((seen + images) / seen) ** 2) * np.sqrt(seen + images)
    return np.maximum(stats.t.ppf(level, freedom) * np.sqrt(seen), both)
