"""A learning curve: accuracy as a power law of labelled images per class, and its fit.

The curve is e(n) = alpha + eta * n^(-1/2) for the error e with n labelled images per class
(Hoiem et al., "Learning Curves for Analysis of Deep Networks", 2021), fitted by least squares with
weights 1/variance, alpha and eta not below zero. Its interval is nominally 90 % and holds four
doubts, added draw by draw:
- the replicates, resampled within each size (their spread corrected for there being few);
- the pool: replicates share their images, so they cannot see that another pool of the same size
  would have scored otherwise. That spread is estimated from how the replicates agree as n grows;
- the validation set, where its size is given;
- the model: no curve family fits everywhere (Viering & Loog 2022), so half of the draws have an
  exponent near -1/2, half the one that fits them best, and all miss by up to 8 % of the error more,
  in full from four times the data on: 2 to 4 points there where the error is 0.3 to 0.5.
Measured at four times the data, 36 cases each: the interval held the true accuracy of logistic
regression on the digits' pixels in 33, of nearest neighbour in 24 (which did better than forecast).
It does not hold it for curves that have not begun to bend, mostly below 20 %: it lies far too low.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import nnls

from regraft.errors import RegraftError

MIN_SIZES, MIN_REPLICATES = 5, 3
EXPONENT, EXPONENT_SPREAD = -0.5, 0.15
EXPONENTS = np.linspace(-1.2, -0.05, 47)  # that are believed at all
STEEP = -0.25  # a best exponent above it: nearly a straight line over log n, no end in sight
MODEL_ERROR = 0.05  # of the error, one standard deviation, from four times the data on
QUANTILES = (0.05, 0.95)
DRAWS = 1000


@dataclass(frozen=True)
class Point:
    """One training on a subset: images per class, replicate, validation accuracy in [0, 1]."""

    per_class: int
    replicate: int
    acc: float


@dataclass(frozen=True)
class Curve:
    """A fitted learning curve; `draws` holds each resampled one: alpha, eta, exponent, miss."""

    now: int  # images per class at the largest size measured
    alpha: float
    eta: float
    gamma: float
    noise: float  # standard deviation between replicates at sizes below the largest
    draws: np.ndarray  # (4, draws)
    second: dict[str, float]  # alpha, eta and gamma of the three-parameter power law

    def acc(self, per_class: np.ndarray | float) -> np.ndarray:
        """Expected accuracy with so many labelled images per class."""
        return 1 - np.clip(self.alpha + self.eta * np.power(per_class, self.gamma), 0, 1)

    def gains(self, factor: float, *, now: float | None = None) -> np.ndarray:
        """How much more accuracy `factor` times the images bring, (draws,); one per resampled fit.

        From the largest size measured, or from `now` images per class. The doubt of the model
        grows with the distance from what was measured, as in `band`.
        """
        alpha, eta, gamma, miss = self.draws
        now = self.now if now is None else now
        before, after = (
            (alpha + eta * n**gamma) * miss ** min(math.log(n / self.now) / math.log(4), 1)
            for n in (now, now * factor)
        )
        return np.clip(before, 0, 1) - np.clip(after, 0, 1)

    def band(self, per_class: np.ndarray | float) -> np.ndarray:
        """Low and high end of the accuracy's nominal 90 % interval, (2, *shape of per_class)."""
        alpha, eta, gamma, miss = self.draws[..., None]
        size = np.atleast_1d(per_class).astype(float)
        beyond = np.clip(np.log(size / self.now) / math.log(4), 0, 1)
        error = (alpha + eta * size**gamma) * miss**beyond
        return 1 - np.clip(np.quantile(error, QUANTILES[::-1], axis=0), 0, 1)

    def asymptote(self) -> dict[str, float]:
        """Accuracy with endless data of this kind: {"acc", "low", "high"}."""
        level = np.clip(self.draws[0] * self.draws[3], 0, 1)
        low, high = 1 - np.quantile(level, QUANTILES[::-1])
        acc = 1 - self.alpha
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
    weights = counts / (training + draw / sizes + 1e-6)

    rng = np.random.default_rng(0)
    offset = draw / sizes[-1]
    if val_images is not None:
        offset += means[-1] * (1 - means[-1]) / val_images
    resampled = means + rng.normal(0, math.sqrt(offset), (DRAWS, 1))
    for column, e in enumerate(errors):
        picks = rng.integers(0, len(e), (DRAWS, len(e)))
        inflate = math.sqrt(len(e) / (len(e) - 1))
        resampled[:, column] += inflate * (e[picks].mean(1) - e.mean())
    gammas = np.clip(rng.normal(EXPONENT, EXPONENT_SPREAD, DRAWS), EXPONENTS[0], EXPONENTS[-1])
    gammas[::2] = _free_exponents(sizes, resampled[::2], weights)
    misses = np.exp(rng.normal(0, MODEL_ERROR, DRAWS))
    draws = np.stack([*_solve(sizes, resampled, weights, gammas), gammas, misses])
    alpha, eta = _solve(sizes, means, weights, np.array([EXPONENT]))
    noise = math.sqrt(variances[:-1].mean())
    free = _free_exponents(sizes, means[None], weights)
    opinion = np.array([*_solve(sizes, means, weights, free), free])[:, 0].tolist()
    second = dict(zip(("alpha", "eta", "gamma"), opinion, strict=True))
    return Curve(int(sizes[-1]), float(alpha[0]), float(eta[0]), EXPONENT, noise, draws, second)


def errors_by_size(points: Iterable[Point]) -> dict[int, np.ndarray]:
    """Errors of the replicates of every size, small sizes first."""
    groups: dict[int, list[float]] = {}
    for point in sorted(points, key=lambda point: (point.per_class, point.replicate)):
        groups.setdefault(point.per_class, []).append(1 - point.acc)
    fewest = min((len(errors) for errors in groups.values()), default=0)
    if len(groups) < MIN_SIZES or fewest < MIN_REPLICATES:
        raise RegraftError(
            f"a learning curve needs at least five sizes with three replicates each; "
            f"here are {len(groups)} sizes, the scarcest with {fewest} replicates"
        )
    return {size: np.array(errors) for size, errors in groups.items()}


def invert(target_acc: float, alpha: float, eta: float, gamma: float) -> float:
    """Images per class at which a curve reaches the target; infinite where it never does."""
    gap = 1 - target_acc - alpha
    if gap <= 0:
        return math.inf
    power = math.log(gap / eta) / gamma if eta else -math.inf
    return math.exp(power) if power < 50 else math.inf


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
