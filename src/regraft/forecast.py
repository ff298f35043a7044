"""How many more labelled images would do: a learning curve on nested subsets, extrapolated.

The curve is e(n) = alpha + eta * n^(-1/2) for the error e with n labelled images per class
(Hoiem et al., "Learning Curves for Analysis of Deep Networks", 2021), fitted by least squares with
weights 1/variance, alpha and eta not below zero. Intervals are meant to cover 90 % and hold four
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
It does not hold for curves that have not begun to bend, mostly below 20 %: their forecast is far
too low. They are refused as "steep" where replicates can tell, else answered with "may not".
"""

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy.optimize import nnls

from regraft.errors import RegraftError

MIN_SIZES, MIN_REPLICATES = 5, 3
EXPONENT, EXPONENT_SPREAD = -0.5, 0.15
EXPONENTS = np.linspace(-1.2, -0.05, 47)  # that are believed at all
STEEP = -0.25  # a best exponent above it: nearly a straight line over log n, no end in sight
MODEL_ERROR = 0.05  # of the error, one standard deviation, from four times the data on
QUANTILES = (0.05, 0.95)
KEYS = ("estimate", "low", "high")
DRAWS = 1000
FARTHEST = 100  # times the images that are there: beyond it an answer is of no use to anybody


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

    def band(self, per_class: np.ndarray | float) -> np.ndarray:
        """Low and high end of the accuracy's 90 % interval, (2, *shape of per_class)."""
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


@dataclass(frozen=True)
class Forecast:
    """The answer. `per_class_needed` counts ADDITIONAL images per class, `per_class_total` all.

    Both are {"estimate", "low", "high"}, high None where open-ended, or None where not reachable.
    `verdict` is the kind of answer that `words` gives to a person: "reached", "more", "asymptote"
    (out of reach), "doubtful" (maybe out of reach), "impractical" (over 100 times the data),
    "noise", "falls" or "steep" (nothing can be said).
    """

    target_acc: float
    reachable: bool
    already: bool
    verdict: str
    per_class_now: int
    per_class_needed: dict[str, int | None] | None
    per_class_total: dict[str, int | None] | None
    asymptote: dict[str, float]
    points: tuple[Point, ...]
    fit: dict[str, Any]
    words: str
    curve: Curve

    def as_dict(self) -> dict[str, Any]:
        """Plain data for forecast.json and result.json; the curve comes again from the points."""
        plain = asdict(self)
        del plain["curve"]
        return plain | {"points": list(plain["points"])}


def forecast(
    points: Iterable[Point], target_acc: float, *, val_images: int | None = None
) -> Forecast:
    """About how many more labelled images per class reach `target_acc`, or that they will not."""
    check_target(target_acc)
    points = tuple(points)
    curve = fit(points, val_images=val_images)
    groups, now = errors_by_size(points), curve.now
    already = bool(1 - groups[now].mean() >= target_acc)
    if already:
        total = dict.fromkeys(KEYS, float(now))
        verdict, words = "reached", f"reached already with {now} per class"
    else:
        total = _total(curve, target_acc)
        endless = math.isinf(total["estimate"])
        refusal = _refusal(curve, groups, target_acc, endless)
        verdict, words = refusal or _answer(target_acc, now, total)
    reachable = verdict in ("reached", "more")
    whole = {key: None if math.isinf(n) else int(n) for key, n in total.items()}
    more = {key: None if n is None else n - now for key, n in whole.items()}
    return Forecast(
        target_acc=target_acc,
        reachable=reachable,
        already=already,
        verdict=verdict,
        per_class_now=now,
        per_class_needed=more if reachable else None,
        per_class_total=whole if reachable else None,
        asymptote=curve.asymptote(),
        points=points,
        fit=_fit_as_dict(curve, target_acc),
        words=words,
        curve=curve,
    )


def check_target(target_acc: float) -> None:
    """Raises RegraftError for what is no accuracy between 0 and 1."""
    if not 0 < target_acc < 1:
        raise RegraftError(
            f"strategy.target_acc={target_acc} is no accuracy to aim at: "
            "give one between 0 and 1, such as 0.95"
        )


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


def _invert(target_acc: float, alpha: float, eta: float, gamma: float) -> float:
    """Images per class at which a curve reaches the target; infinite where it never does."""
    gap = 1 - target_acc - alpha
    if gap <= 0:
        return math.inf
    power = math.log(gap / eta) / gamma if eta else -math.inf
    return math.exp(power) if power < 50 else math.inf


def _total(curve: Curve, target_acc: float) -> dict[str, float]:
    """Whole images per class for the target, more than now; the interval ends at the horizon."""
    grid = np.geomspace(curve.now, FARTHEST * curve.now, 500)
    low, high = ((*grid[band >= target_acc], math.inf)[0] for band in curve.band(grid)[::-1])
    estimate = _invert(target_acc, curve.alpha, curve.eta, curve.gamma)
    total = {"estimate": estimate, "low": min(low, estimate), "high": max(high, estimate)}
    return {
        key: size if math.isinf(size) else max(math.ceil(size - 1e-6), curve.now + 1)
        for key, size in total.items()
    }


def _fall(groups: dict[int, np.ndarray]) -> tuple[int, int] | None:
    """The sizes between which accuracy falls by 2 points and 3 standard errors, if it does."""
    sizes = list(groups)
    spread = math.sqrt(np.mean([errors.var(ddof=1) for errors in groups.values()]))
    worst = (0.0, 0, 0)
    for i, small in enumerate(sizes):
        for large in sizes[i + 1 :]:
            drop = groups[large].mean() - groups[small].mean()
            doubt = spread * math.sqrt(1 / len(groups[small]) + 1 / len(groups[large]))
            if drop > max(0.02, 3 * doubt, worst[0]):
                worst = (drop, small, large)
    return worst[1:] if worst[0] else None


def _refusal(
    curve: Curve, groups: dict[int, np.ndarray], target_acc: float, endless: bool
) -> tuple[str, str] | None:
    """Why there is no number, if there is none; `endless`: the fitted curve never gets there."""
    first, level = min(groups), curve.asymptote()
    levels_off = f"{level['acc']:.2f} ({level['low']:.2f} to {level['high']:.2f})"
    gain = float(curve.acc(curve.now) - curve.acc(first))
    climb = f"{gain:+.2f} from {first} to {curve.now} per class"
    noisy = gain < curve.noise or np.mean(curve.draws[1] == 0) > QUANTILES[0]
    steep = 0.0 if noisy else curve.steep()
    if fall := _fall(groups):
        (small, before), (large, after) = ((size, 1 - groups[size].mean()) for size in fall)
        return "falls", (
            f"cannot say: accuracy falls from {before:.2f} with {small} per class "
            f"to {after:.2f} with {large}"
        )
    if target_acc > level["high"] and steep < 0.1:
        return "asymptote", (
            f"more data of this kind will not do it: the curve levels off at {levels_off}"
        )
    if noisy:
        return "noise", (
            f"cannot say: the noise between replicates (±{curve.noise:.2f}) "
            f"hides the slope ({climb})"
        )
    if endless and steep > 0.5:
        return "steep", (
            f"cannot say: accuracy still climbs too evenly ({climb}) to see where it levels off"
        )
    if endless:
        return "doubtful", (
            f"more data of this kind may not do it: the curve seems to level off at {levels_off}"
        )
    return None


def _answer(target_acc: float, now: int, total: dict[str, float]) -> tuple[str, str]:
    """The number in words, with its interval, or that it is beyond all practice."""
    more, low = _round(total["estimate"] - now), _round(total["low"] - now)
    images = "image" if more == "1" else "images"
    if total["estimate"] > FARTHEST * now:
        return "impractical", (
            f"not reachable in practice: about {more} more labelled images per class "
            f"would be needed, over {FARTHEST} times what is there"
        )
    endless = math.isinf(total["high"])
    interval = f"at least {low}" if endless else f"{low} to {_round(total['high'] - now)}"
    return "more", (
        f"about {more} more labelled {images} per class ({interval}) would reach {target_acc:g}"
    )


def _round(number: float) -> str:
    """Two significant digits, with thousands marked: 1,200."""
    return f"{int(float(f'{number:.2g}')):,}"


def _fit_as_dict(curve: Curve, target_acc: float) -> dict[str, Any]:
    low, high = curve.band(4 * curve.now)[:, 0].tolist()
    opinion = _invert(target_acc, *curve.second.values())
    within = math.isfinite(opinion) and opinion <= FARTHEST * curve.now
    return {
        "model": "acc = 1 - (alpha + eta * per_class ** gamma)",
        "alpha": curve.alpha,
        "eta": curve.eta,
        "gamma": curve.gamma,
        "noise": curve.noise,
        "interval": round(QUANTILES[1] - QUANTILES[0], 6),
        "error_at_4x": (high - low) / 2,
        "second_opinion": curve.second
        | {"per_class_total": max(math.ceil(opinion - 1e-6), 1) if within else None},
    }
