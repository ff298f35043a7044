"""The picture of a forecast: accuracy over labelled images per class, measured and extrapolated."""

import textwrap

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from regraft.curve import Point, errors_by_size
from regraft.forecast import FARTHEST, KEYS, Forecast


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


def _right_edge(forecast: Forecast) -> float:
    """How far to draw: past the answer and its interval, and four times the data at least."""
    now, total = forecast.per_class_now, forecast.per_class_total or {}
    ends = [size for size in total.values() if size is not None]
    return min(1.3 * max(4 * now, *ends), FARTHEST * now) if ends else 10 * now


def _draw_points(axes: Axes, points: tuple[Point, ...]) -> None:
    sizes = [point.per_class for point in points]
    accs = [point.acc for point in points]
    axes.plot(sizes, accs, ".", color="0.35", markersize=5, label="replicates")
    means = {n: 1 - errors.mean() for n, errors in errors_by_size(points).items()}
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
