"""A learning curve: accuracy as a power law of labelled images per class, and its fit.

Two laws for the error e with n labelled images per class are fitted by least squares with weights
1/variance, nothing below zero: e(n) = alpha + eta * n^(-1/2) (Hoiem et al., "Learning Curves for
Analysis of Deep Networks", 2021) and the three-parameter power law e(n) = alpha + eta * n^gamma.
The estimate is their mean. No law fits everywhere (Viering & Loog 2022), so a size counts the less
the further it lies from the largest. The interval is nominally 90 % and holds four doubts, added
draw by draw:
- the replicates, resampled within each size (their spread corrected for there being few);
- the pool: replicates share their images, so they cannot see that another pool of the same size
  would have scored otherwise. That spread is estimated from how the replicates agree as n grows;
- the validation set, where its size is given;
- the law: half of the draws have an exponent near -1/2, half the one that fits them best, and all
  miss by about 12 % of the error more, in full from four times the data on. Curves tend to bend
  further down than both laws say: by 8 % of the error, which the draws are corrected for.
How often it held what a training on the held-back larger part gave is in docs/forecast.md: about
nine times of ten, least where few errors are left and for classifiers whose curve changes its shape
when images outnumber features.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq, nnls

from regraft.errors import RegraftError

MIN_SIZES, MIN_REPLICATES = 3, 3
EXPONENT, EXPONENT_SPREAD = -0.5, 0.2
EXPONENTS = np.linspace(-1.2, -0.05, 47)  # that are believed at all
STEEP = -0.25  # a best exponent above it: nearly a straight line over log n, no end in sight
MODEL_BIAS, MODEL_ERROR = -0.08, 0.12  # of the error, from four times the data on
LOCAL = 0.07  # of the error: how far off a law may be at a quarter of the largest size
LONGEST = 50.0  # the logarithm of the most images per class that a size is looked for
QUANTILES = (0.05, 0.95)
DRAWS = 1000


@dataclass(frozen=True)
class Point:
    """One training on a subset: images per class, replicate, validation accuracy in [0, 1]."""

    per_class: int
    replicate: int
    acc: float


@dataclass(frozen=True)
class Law:
    """The error is alpha + eta * n ** gamma with n labelled images per class."""

    alpha: float
    eta: float
    gamma: float

    def acc(self, per_class: np.ndarray | float) -> np.ndarray:
        return 1 - np.clip(self.alpha + self.eta * np.power(per_class, self.gamma), 0, 1)

    def needed(self, target_acc: float) -> float:
        """Images per class at which it reaches an accuracy; infinite where it never does."""
        gap = 1 - target_acc - self.alpha
        if gap <= 0:
            return math.inf
        power = math.log(gap / self.eta) / self.gamma if self.eta else -math.inf
        return math.exp(power) if power < LONGEST else math.inf


@dataclass(frozen=True)
class Curve:
    """A fitted learning curve; `draws` holds each resampled one: alpha, eta, exponent, miss."""

    now: int  # images per class at the largest size measured
    laws: tuple[Law, Law]  # of exponent -1/2, and of the exponent that fits best
    noise: float  # standard deviation between replicates at sizes below the largest
    draws: np.ndarray  # (4, draws)

    def acc(self, per_class: np.ndarray | float) -> np.ndarray:
        """Expected accuracy with so many labelled images per class: between the two laws."""
        return np.mean([law.acc(per_class) for law in self.laws], axis=0)

    def needed(self, target_acc: float) -> float:
        """Images per class at which that reaches an accuracy; infinite where it never does."""

        def above(log_n: float) -> float:
            return float(self.acc(math.exp(log_n)) - target_acc)

        if above(LONGEST) <= 0:
            return math.inf
        return math.exp(brentq(above, 0, LONGEST)) if above(0) < 0 else 1.0

    def gains(self, factor: float, *, now: float | None = None) -> np.ndarray:
        """How much more accuracy `factor` times the images bring, (draws,); one per resampled fit.

        From the largest size measured, or from `now` images per class. The doubt of the model
        grows with the distance from what was measured, as in `band`.
        """
        begin = 1.0 if now is None else now / self.now
        return self._error(begin) - self._error(begin * factor)

    def ratio(self, factor: float) -> np.ndarray:
        """What of the error is left with `factor` times the images, (draws,)."""
        return np.minimum(self._error(factor) / np.maximum(self._error(1), 1e-6), 1)

    def _error(self, factor: float) -> np.ndarray:
        """Each draw's error with `factor` times the images."""
        alpha, eta, gamma, miss = self.draws
        return np.clip((alpha + eta * (self.now * factor) ** gamma) * miss ** _beyond(factor), 0, 1)

    def band(self, per_class: np.ndarray | float) -> np.ndarray:
        """Low and high end of the accuracy's nominal 90 % interval, (2, *shape of per_class)."""
        alpha, eta, gamma, miss = self.draws[..., None]
        size = np.atleast_1d(per_class).astype(float)
        error = (alpha + eta * size**gamma) * miss ** _beyond(size / self.now)
        return 1 - np.clip(np.quantile(error, QUANTILES[::-1], axis=0), 0, 1)

    def asymptote(self) -> dict[str, float]:
        """Accuracy with endless data of this kind: {"acc", "low", "high"}."""
        level = np.clip(self.draws[0] * self.draws[3], 0, 1)
        low, high = 1 - np.quantile(level, QUANTILES[::-1])
        acc = 1 - float(np.mean([law.alpha for law in self.laws]))
        return {"acc": acc, "low": float(min(low, acc)), "high": float(max(high, acc))}

    def steep(self) -> float:
        """Share of the free fits that see no bend: a nearly straight line over log n."""
        return float(np.mean(self.draws[2, ::2] > STEEP))


def fit(points: Iterable[Point], *, val_images: int | None = None) -> Curve:
    """Fit the curve and its resampled versions; `val_images` adds the doubt of a small val set."""
    groups = errors_by_size(points)
    sizes = np.array(list(groups), dtype=float)
    errors = list(groups.values())
    means, counts = np.array([e.mean() for e in errors]), np.array([len(e) for e in errors])
    variances = np.array([e.var(ddof=1) for e in errors])

    # Replicates are drawn from one pool of m, so they spread by training + draw * (1/n - 1/m).
    shrink = 1 / sizes - 1 / sizes[-1]
    (training, draw), _ = nnls(np.stack([np.ones_like(sizes), shrink], 1), variances)
    far = np.log(sizes[-1] / sizes) / math.log(4)
    weights = 1 / ((training + draw / sizes + 1e-6) / counts + (LOCAL * means * far) ** 2)

    rng = np.random.default_rng(0)
    offset = draw / sizes[-1]
    if val_images is not None:
        share = (means[-1] * val_images + 1) / (val_images + 2)  # no error seen is not none at all
        offset += share * (1 - share) / val_images
    resampled = means + rng.normal(0, math.sqrt(offset), (DRAWS, 1))
    for column, e in enumerate(errors):
        picks = rng.integers(0, len(e), (DRAWS, len(e)))
        inflate = math.sqrt(len(e) / (len(e) - 1))
        resampled[:, column] += inflate * (e[picks].mean(1) - e.mean())
    gammas = np.clip(rng.normal(EXPONENT, EXPONENT_SPREAD, DRAWS), EXPONENTS[0], EXPONENTS[-1])
    gammas[::2] = _free_exponents(sizes, resampled[::2], weights)
    exponents = np.array([EXPONENT, *_free_exponents(sizes, means[None], weights)])
    fitted = zip(*_solve(sizes, means, weights, exponents), exponents, strict=True)
    first, second = (Law(*map(float, law)) for law in fitted)
    noise = math.sqrt(variances[:-1].mean())
    # Where both laws run past the sizes by more than their variance, they are trusted less.
    residuals = 1 - np.mean([first.acc(sizes), second.acc(sizes)], axis=0) - means
    misfit = max(1.0, math.sqrt(residuals**2 @ weights / max(len(sizes) - 2, 1)))
    misses = np.exp(rng.normal(MODEL_BIAS, MODEL_ERROR * misfit, DRAWS))
    draws = np.stack([*_solve(sizes, resampled, weights, gammas), gammas, misses])
    return Curve(int(sizes[-1]), (first, second), noise, draws)


def ladder(most: int, count: int) -> tuple[int, ...]:
    """Images per class, about geometric, from a twentieth (or 1) to `most`; no two the same.

    >>> ladder(100, 6), ladder(5, 6), ladder(2, 6)
    ((5, 9, 17, 30, 55, 100), (1, 2, 3, 4, 5), (1, 2))
    """
    count = min(count, most)
    sizes = np.geomspace(max(1, most // 20), most, count).round().astype(int)
    steps = np.arange(count)
    sizes = np.maximum.accumulate(sizes - steps) + steps  # each at least one above the last
    return tuple(int(size) for size in np.minimum(sizes, most - steps[::-1]))


def errors_by_size(points: Iterable[Point]) -> dict[int, np.ndarray]:
    """Errors of the replicates of every size, small sizes first."""
    groups: dict[int, list[float]] = {}
    for point in sorted(points, key=lambda point: (point.per_class, point.replicate)):
        groups.setdefault(point.per_class, []).append(1 - point.acc)
    fewest = min((len(errors) for errors in groups.values()), default=0)
    if len(groups) < MIN_SIZES or fewest < MIN_REPLICATES:
        raise RegraftError(
            f"a learning curve needs at least three sizes with three replicates each; "
            f"here are {len(groups)} sizes, the scarcest with {fewest} replicates"
        )
    return {size: np.array(errors) for size, errors in groups.items()}


def _beyond(factor: np.ndarray | float) -> np.ndarray:
    """How much of a law's miss counts at so many times the images: as of a random walk, up to 4."""
    return np.sqrt(np.clip(np.log(factor) / math.log(4), 0, 1))


def _solve(
    sizes: np.ndarray, errors: np.ndarray, weights: np.ndarray, gammas: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Weighted least squares for alpha, eta >= 0, one fit per exponent, in closed form."""
    x = sizes ** gammas[:, None]
    y, w = np.broadcast_to(errors, x.shape), weights / weights.sum()
    x_mean, y_mean = x @ w, y @ w
    centred = x - x_mean[:, None]
    eta = np.maximum((centred * y) @ w / ((centred**2) @ w), 0)
    alpha = y_mean - eta * x_mean
    through_zero = np.maximum((x * y) @ w / ((x**2) @ w), 0)
    return np.maximum(alpha, 0), np.where(alpha < 0, through_zero, eta)


def _free_exponents(sizes: np.ndarray, errors: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The exponent that fits each row of errors best: the three-parameter power law."""
    misfits = []
    for gamma in EXPONENTS:
        alpha, eta = _solve(sizes, errors, weights, np.full(len(errors), gamma))
        fitted = alpha[:, None] + eta[:, None] * sizes**gamma
        misfits.append((fitted - errors) ** 2 @ weights)
    return EXPONENTS[np.argmin(misfits, axis=0)]
