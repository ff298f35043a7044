"""The picture of a forecast: accuracy over labelled images per class, measured and extrapolated."""

import textwrap
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from regraft.curve import Point, errors_by_size
from regraft.figures.canvas import INK, SOFT, drawing
from regraft.forecast import FARTHEST, KEYS, Forecast

RED = "#c0272d"  # of the target and the answer; dark enough for a print in black and white


def draw(forecast: Forecast, path: Path) -> None:
    """The measured points, the curve with its band, the target, and what more images would give."""
    with drawing(path, 8.5, 4.4, 150) as figure:
        compose(figure, forecast)


def compose(figure: Figure, forecast: Forecast) -> None:
    """Put the picture on an empty figure."""
    now, curve = forecast.per_class_now, forecast.curve
    speaks = forecast.verdict not in ("noise", "falls", "steep")  # else nothing to extrapolate
    first = min(point.per_class for point in forecast.points)
    last = _right_edge(forecast) if speaks else now * 1.2
    figure.set_layout_engine("constrained")
    axes = figure.subplots()
    seen, beyond = np.geomspace(first, now), np.geomspace(now, last)
    grid = np.geomspace(first, last, 100)
    if forecast.verdict != "falls":  # no curve of this family fits one that does
        band = curve.band(grid)
        axes.fill_between(grid, *band, color="0.87", label="nominal 90 % interval", zorder=0)
        axes.plot(seen, curve.acc(seen), color=INK, label="fitted curve")
    if speaks:
        axes.plot(beyond, curve.acc(beyond), "--", color=INK, label="extrapolated")
        level = forecast.asymptote["acc"]
        axes.axhline(level, color=SOFT, ls=":", label=f"levels off at {level:.2f}")
    _draw_points(axes, forecast.points)
    target = forecast.target_acc
    axes.axhline(target, color=RED, ls="-.", label=f"target {target:g}")
    axes.axvline(now, color=SOFT, lw=0.8, label=f"now: {now:,} per class")
    _draw_answer(axes, forecast, last)
    _dress(axes, first, last)
    axes.set_title(textwrap.fill(forecast.words, 72), fontsize=10, loc="left")
    figure.legend(fontsize=8, loc="outside right upper", frameon=False)


def _right_edge(forecast: Forecast) -> float:
    """How far to draw: past the answer and its interval, and four times the data at least."""
    now, total = forecast.per_class_now, forecast.per_class_total or {}
    ends = [size for size in total.values() if size is not None]
    return min(1.3 * max(4 * now, *ends), FARTHEST * now) if ends else 10 * now


def _draw_points(axes: Axes, points: tuple[Point, ...]) -> None:
    sizes = [point.per_class for point in points]
    accs = [point.acc for point in points]
    axes.plot(sizes, accs, ".", color=SOFT, ms=5, label="replicates")
    means = {n: 1 - errors.mean() for n, errors in errors_by_size(points).items()}
    axes.plot(
        list(means), list(means.values()), "o", mfc="white", mec=INK, label="mean of replicates"
    )


def _draw_answer(axes: Axes, forecast: Forecast, last: float) -> None:
    """A diamond where the curve meets the target, with the interval as a bar along the target."""
    if forecast.verdict != "more" or not forecast.per_class_total:
        return
    estimate, low, high = (forecast.per_class_total[key] or last for key in KEYS)
    target, label = forecast.target_acc, f"needed: {estimate:,} per class in all"
    axes.plot(estimate, target, "D", color=RED, mec=INK, label=label, zorder=3)
    axes.plot([low, high], [target] * 2, color=RED, lw=4, alpha=0.5, label="and its interval")


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
