"""How many more labelled images would do: a learning curve, extrapolated and put into words.

A number is given only where the curve carries it: it has to rise out of the noise between
replicates and to bend, and the target has to lie below where it levels off. Curves that have not
begun to bend are refused as "steep" where replicates can tell, else answered with "may not". How
far to trust the intervals was measured, see docs/forecast.md.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from regraft.classwise import ClassOutlook, Judged, outlooks
from regraft.curve import QUANTILES, Curve, Law, Point, errors_by_size, fit
from regraft.errors import RegraftError
from regraft.statistics import wilson

KEYS = ("estimate", "low", "high")
FACTORS = (2, 4)  # times the images, whose gain is forecast
LAWS = ("alpha + eta * per_class ** -0.5", "alpha + eta * per_class ** gamma")
FARTHEST = 100  # times the images that are there: beyond it an answer is of no use to anybody


@dataclass(frozen=True)
class Forecast:
    """The answer. `per_class_needed` counts ADDITIONAL images per class, `per_class_total` all.

    Both are {"estimate", "low", "high"}, high None where open-ended, or None where not reachable;
    `images_needed` and `images_total` are the same for all classes together, where their number is
    known. `gains` says how much accuracy 2 and 4 times the images bring, None where nothing can be
    said.
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
    images_needed: dict[str, int | None] | None
    images_total: dict[str, int | None] | None
    gains: dict[str, dict[str, float]] | None
    asymptote: dict[str, float]
    num_classes: int | None
    val_images: int | None
    points: tuple[Point, ...]
    fit: dict[str, Any]
    words: str
    gains_words: str | None
    curve: Curve
    by_class: tuple[ClassOutlook, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Plain data for forecast.json and result.json; the curve comes again from the points."""
        plain = asdict(self)
        del plain["curve"]
        return plain | {key: list(plain[key]) for key in ("points", "by_class")}


FEW_VAL_IMAGES = 100  # fewer than this say little about a class


def forecast(
    points: Iterable[Point],
    target_acc: float,
    *,
    val_images: int | None = None,
    num_classes: int | None = None,
) -> Forecast:
    """About how many more labelled images per class reach `target_acc`, or that they will not."""
    check_target(target_acc)
    points = tuple(points)
    curve = fit(points, val_images=val_images)
    groups, now = errors_by_size(points), curve.now
    already = bool(1 - groups[now].mean() >= target_acc)
    if already:
        total = dict.fromkeys(KEYS, float(now))
        verdict = "reached"
        words = f"reached already with {now} per class"
        words += _how_sure(1 - float(groups[now].mean()), target_acc, val_images)
    else:
        total = _total(curve, target_acc)
        endless = math.isinf(total["estimate"])
        refusal = _refusal(curve, groups, target_acc, endless)
        verdict, words = refusal or _answer(target_acc, now, total, num_classes)
    if verdict != "more":
        words = f"for a validation accuracy of {target_acc:g}: {words}"
    if val_images is not None and val_images < FEW_VAL_IMAGES:
        words += f"; judged on {val_images} validation images only"
    reachable = verdict in ("reached", "more")
    whole = {key: None if math.isinf(n) else int(n) for key, n in total.items()}
    more = {key: None if n is None else n - now for key, n in whole.items()}
    gains = None if _fall(groups) or _noisy(curve, groups) else _gains(curve)
    return Forecast(
        target_acc=target_acc,
        reachable=reachable,
        already=already,
        verdict=verdict,
        per_class_now=now,
        per_class_needed=more if reachable else None,
        per_class_total=whole if reachable else None,
        images_needed=_times(more, num_classes) if reachable else None,
        images_total=_times(whole, num_classes) if reachable else None,
        gains=gains,
        asymptote=curve.asymptote(),
        num_classes=num_classes,
        val_images=val_images,
        points=points,
        fit=_fit_as_dict(curve, target_acc),
        words=words,
        gains_words=_gains_in_words(gains) if gains else None,
        curve=curve,
    )


def with_classes(found: Forecast, judged: Sequence[Judged], names: Sequence[str]) -> Forecast:
    """The same with what is known of each class; of the future only where the curve carries it."""
    return replace(found, by_class=outlooks(judged, names, found.curve if found.gains else None))


def check_target(target_acc: float, name: str = "strategy.target_acc") -> None:
    """Raises RegraftError for what is no accuracy between 0 and 1."""
    if not 0 < target_acc < 1:
        raise RegraftError(
            f"{name}={target_acc} is no accuracy to aim at: give one between 0 and 1, such as 0.95"
        )


def _times(sizes: dict[str, int | None], classes: int | None) -> dict[str, int | None] | None:
    """The same for all classes together."""
    if classes is None:
        return None
    return {key: None if size is None else size * classes for key, size in sizes.items()}


def _gains(curve: Curve) -> dict[str, dict[str, float]]:
    """The accuracy that FACTORS times the images add, with the interval of the curve's draws."""
    found = {}
    for factor in FACTORS:
        low, high = np.quantile(curve.gains(factor), QUANTILES).tolist()
        estimate = float(curve.acc(factor * curve.now) - curve.acc(curve.now))
        ends = estimate, min(low, estimate), max(high, estimate)
        found[str(factor)] = dict(zip(KEYS, ends, strict=True))
    return found


def _gains_in_words(gains: dict[str, dict[str, float]]) -> str:
    parts = [
        f"{factor} times the images would add {100 * gain['estimate']:.1f} points "
        f"({100 * gain['low']:.1f} to {100 * gain['high']:.1f})"
        for factor, gain in gains.items()
    ]
    return ", ".join(parts)


def _total(curve: Curve, target_acc: float) -> dict[str, float]:
    """Whole images per class for the target, more than now; the interval ends at the horizon."""
    grid = np.geomspace(curve.now, FARTHEST * curve.now, 500)
    low, high = ((*grid[band >= target_acc], math.inf)[0] for band in curve.band(grid)[::-1])
    estimate = curve.needed(target_acc)
    total = {"estimate": estimate, "low": min(low, estimate), "high": max(high, estimate)}
    return {
        key: size if math.isinf(size) else max(math.ceil(size - 1e-6), curve.now + 1)
        for key, size in total.items()
    }


def _how_sure(acc: float, target_acc: float, val_images: int | None) -> str:
    """What so few validation images leave open, as the end of a sentence; "" if nothing."""
    if val_images is None or (low := wilson(acc, val_images)[0]) >= target_acc:
        return ""
    return f" ({acc:.2f}, or as little as {low:.2f}: there are few validation images)"


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


def _noisy(curve: Curve, groups: dict[int, np.ndarray]) -> bool:
    """Whether the slope cannot be told from the noise between replicates."""
    gain = float(curve.acc(curve.now) - curve.acc(min(groups)))
    return gain < curve.noise or float(np.mean(curve.draws[1] == 0)) > QUANTILES[0]


def _refusal(
    curve: Curve, groups: dict[int, np.ndarray], target_acc: float, endless: bool
) -> tuple[str, str] | None:
    """Why there is no number, if there is none; `endless`: the fitted curve never gets there."""
    first, level = min(groups), curve.asymptote()
    levels_off = f"{level['acc']:.2f} ({level['low']:.2f} to {level['high']:.2f})"
    gain = float(curve.acc(curve.now) - curve.acc(first))
    climb = f"{gain:+.2f} from {first} to {curve.now} per class"
    noisy = _noisy(curve, groups)
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


def _answer(
    target_acc: float, now: int, total: dict[str, float], classes: int | None
) -> tuple[str, str]:
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
    together = f", {_round((total['estimate'] - now) * classes)} in all," if classes else ""
    return "more", (
        f"about {more} more labelled {images} per class ({interval}){together} "
        f"would reach {target_acc:g}"
    )


def _round(number: float) -> str:
    """Two significant digits, with thousands marked: 1,200."""
    return f"{int(float(f'{number:.2g}')):,}"


def _fit_as_dict(curve: Curve, target_acc: float) -> dict[str, Any]:
    low, high = curve.band(4 * curve.now)[:, 0].tolist()
    return {
        "model": "acc = 1 - (the mean of both laws)",
        "laws": [
            {"error": text, **_law_as_dict(law, curve.now, target_acc)}
            for text, law in zip(LAWS, curve.laws, strict=True)
        ],
        "noise": curve.noise,
        "interval": round(QUANTILES[1] - QUANTILES[0], 6),
        "error_at_4x": (high - low) / 2,
    }


def _law_as_dict(law: Law, now: int, target_acc: float) -> dict[str, Any]:
    """One law's numbers, and what it alone would answer; null beyond 100 times the images."""
    needed = law.needed(target_acc)
    within = needed <= FARTHEST * now
    return asdict(law) | {"per_class_total": max(math.ceil(needed - 1e-6), 1) if within else None}
