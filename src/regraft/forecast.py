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

import json
import math
import os
import textwrap
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from annotated_types import Ge, Gt, Lt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator
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


@dataclass(frozen=True, kw_only=True)
class Collect:
    """The strategy `collect`: the accuracy wanted, and how many subsets to measure the curve on."""

    name: str
    quadrant: str | None
    target_acc: Annotated[float, Gt(0), Lt(1)]
    sizes: Annotated[int, Ge(MIN_SIZES)]
    replicates: Annotated[int, Ge(MIN_REPLICATES)]

    def __post_init__(self) -> None:
        _check_target(self.target_acc)
        for key, least in (("sizes", MIN_SIZES), ("replicates", MIN_REPLICATES)):
            if getattr(self, key) < least:
                raise RegraftError(
                    f"strategy.{key}={getattr(self, key)} is too few for a learning curve: "
                    f"use at least {least}"
                )

    def subset_sizes(self, smallest_class: int) -> tuple[int, ...]:
        """Images per class, about geometric, from a twentieth (or 1) to all of the smallest class.

        >>> Collect(name="", quadrant=None, target_acc=0.9, sizes=6, replicates=3).subset_sizes(100)
        (5, 9, 17, 30, 55, 100)
        """
        if smallest_class < MIN_SIZES:
            raise RegraftError(
                f"strategy=collect needs a learning curve of at least five sizes, so at least five "
                f"training images in every class; the smallest class has {smallest_class}"
            )
        count = min(self.sizes, smallest_class)
        sizes = (
            np.geomspace(max(1, smallest_class // 20), smallest_class, count).round().astype(int)
        )
        steps = np.arange(count)
        sizes = np.maximum.accumulate(sizes - steps) + steps  # each at least one above the last
        return tuple(int(size) for size in np.minimum(sizes, smallest_class - steps[::-1]))


def measure(
    collect: Collect,
    labels: np.ndarray,
    train_and_score: Callable[[np.ndarray, int], float],
    *,
    seed: int = 0,
) -> list[Point]:
    """Score class-balanced subsets, nested within a replicate, through `train_and_score`.

    It gets the subset's indices into `labels` (sorted) and the replicate, and returns an accuracy.
    """
    labels = np.asarray(labels)
    classes, counts = np.unique(labels, return_counts=True)
    if len(classes) < 2:
        raise RegraftError("strategy=collect needs training images of at least two classes")
    points = []
    for replicate in range(collect.replicates):
        rng = np.random.default_rng([seed, replicate])
        orders = [rng.permutation(np.flatnonzero(labels == label)) for label in classes]
        for size in collect.subset_sizes(int(counts.min())):
            subset = np.sort(np.concatenate([order[:size] for order in orders]))
            acc = float(train_and_score(subset, replicate))
            if not 0 <= acc <= 1:
                raise RegraftError(
                    f"training on {size} images per class (replicate {replicate}) scored {acc}, "
                    "which is no accuracy: it diverged, try a lower optimizer.lr"
                )
            points.append(Point(size, replicate, acc))
    return points


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
    groups = _errors_by_size(points)
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
    _check_target(target_acc)
    points = tuple(points)
    curve = fit(points, val_images=val_images)
    groups, now = _errors_by_size(points), curve.now
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


def write(forecast: Forecast, folder: Path) -> None:
    """Write forecast.json and learning_curve.png, each whole or not at all."""
    text = json.dumps(forecast.as_dict(), indent=2, allow_nan=False) + "\n"
    partial = folder / f".forecast.{os.getpid()}"
    partial.write_text(text)
    partial.replace(folder / "forecast.json")
    draw(forecast).savefig(partial, format="png", dpi=150)
    partial.replace(folder / "learning_curve.png")


def draw(forecast: Forecast) -> Figure:
    """The measured points, the curve with its band, the target, and what more images would give."""
    now, curve = forecast.per_class_now, forecast.curve
    speaks = forecast.verdict not in (
        "noise",
        "falls",
        "steep",
    )  # else there is nothing to extrapolate
    first = min(point.per_class for point in forecast.points)
    last = _right_edge(forecast) if speaks else now * 1.2
    figure = Figure(figsize=(8.5, 4.4), layout="constrained")
    axes = figure.subplots()
    seen, beyond = np.geomspace(first, now), np.geomspace(now, last)
    grid = np.geomspace(first, last, 100)
    if forecast.verdict != "falls":  # no curve of this family fits one that does
        axes.fill_between(grid, *curve.band(grid), color="0.87", label="90 % interval", zorder=0)
        axes.plot(seen, curve.acc(seen), color="black", label="fitted curve")
    if speaks:
        axes.plot(beyond, curve.acc(beyond), "--", color="black", label="extrapolated")
        level = forecast.asymptote["acc"]
        axes.axhline(level, color="0.45", linestyle=":", label=f"levels off at {level:.2f}")
    _draw_points(axes, forecast.points)
    axes.axhline(
        forecast.target_acc,
        color="tab:red",
        linestyle="-.",
        label=f"target {forecast.target_acc:g}",
    )
    axes.axvline(now, color="0.45", linewidth=0.8, label=f"now: {now} per class")
    _draw_answer(axes, forecast, last)
    _dress(axes, first, last)
    axes.set_title(textwrap.fill(forecast.words, 88), fontsize=10, loc="left")
    figure.legend(fontsize=8, loc="outside right upper", frameon=False)
    return figure


def _check_target(target_acc: float) -> None:
    if not 0 < target_acc < 1:
        raise RegraftError(
            f"strategy.target_acc={target_acc} is no accuracy to aim at: "
            "give one between 0 and 1, such as 0.95"
        )


def _errors_by_size(points: Iterable[Point]) -> dict[int, np.ndarray]:
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


def _right_edge(forecast: Forecast) -> float:
    """How far to draw: past the answer and its interval, and four times the data at least."""
    now, total = forecast.per_class_now, forecast.per_class_total or {}
    ends = [size for size in total.values() if size is not None]
    return min(1.3 * max(4 * now, *ends), FARTHEST * now) if ends else 10 * now


def _draw_points(axes: Axes, points: tuple[Point, ...]) -> None:
    sizes = [point.per_class for point in points]
    accs = [point.acc for point in points]
    axes.plot(sizes, accs, ".", color="0.35", markersize=5, label="replicates")
    means = {n: 1 - errors.mean() for n, errors in _errors_by_size(points).items()}
    axes.plot(
        list(means),
        list(means.values()),
        "o",
        markerfacecolor="white",
        markeredgecolor="black",
        label="mean of replicates",
    )


def _draw_answer(axes: Axes, forecast: Forecast, last: float) -> None:
    """A diamond where the curve meets the target, with the interval as a bar along the target."""
    if forecast.verdict != "more" or not forecast.per_class_total:
        return
    estimate, low, high = (forecast.per_class_total[key] or last for key in KEYS)
    axes.plot([low, high], [forecast.target_acc] * 2, color="tab:red", linewidth=4, alpha=0.5)
    axes.plot(
        estimate,
        forecast.target_acc,
        "D",
        color="tab:red",
        markeredgecolor="black",
        label=f"needed: {estimate:,} per class in all",
    )


def _dress(axes: Axes, first: float, last: float) -> None:
    axes.set_xscale("log")
    axes.set_xlim(first / 1.1, last)
    steps = [digit * 10**power for power in range(6) for digit in (1, 2, 5)]
    axes.xaxis.set_major_locator(FixedLocator(steps))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda n, _: f"{n:,.0f}"))
    axes.set_ylim(top=min(1.02, axes.get_ylim()[1]))
    axes.set_xlabel("labelled training images per class (log scale)")
    axes.set_ylabel("validation accuracy (0 to 1)")
    axes.grid(alpha=0.25)
