"""The picture of a forecast: accuracy over labelled images per class, measured and extrapolated."""

import math
import re
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from regraft.curve import Point, errors_by_size
from regraft.figures.canvas import INK, SOFT, drawing, shorten
from regraft.forecast import FARTHEST, KEYS, Forecast

RED = "#c0272d"  # of the target and the answer; dark enough for a print in black and white

LINES = (":", (0, (6, 1.5, 1, 1.5)))  # of the two laws
NAMES = ("law with exponent −1/2", "law with free exponent")


def draw(forecast: Forecast, path: Path) -> None:
    """The measured points, the curve with its band, the target, and what more images would give."""
    with drawing(path, 8.5, 4.4, 150) as figure:
        compose(figure, forecast)


def draw_several(forecasts: Mapping[str, Forecast], path: Path) -> None:
    """A panel for each of several, with the same axes; what the lines are is said once."""
    columns = min(3, math.ceil(math.sqrt(len(forecasts))))
    rows = math.ceil(len(forecasts) / columns)
    with drawing(path, 1.6 + 3.4 * columns, 0.6 + 3.1 * rows, 130) as figure:
        figure.set_layout_engine("constrained")
        panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).flatten()
        ends = [(_left_edge(f), _right_edge(f)) for f in forecasts.values()]
        first, last = min(left for left, _ in ends), max(right for _, right in ends)
        known: dict[str, Any] = {}
        for axes, (name, forecast) in zip(panels, forecasts.items(), strict=False):
            compose_panel(axes, forecast, last)
            _dress(axes, first, last)
            axes.label_outer()
            words = textwrap.fill(forecast.words, 44)
            axes.set_title(f"{shorten(name, 44)}\n{words}", fontsize=8, loc="left")
            for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
                known.setdefault(re.sub(r"( at)? [\d.,]+$|:.*", "", label), handle)
        for axes in panels[len(forecasts) :]:
            axes.axis("off")
        figure.legend(
            known.values(), known, fontsize=7, loc="outside lower center", ncols=4, frameon=False
        )


def compose(figure: Figure, forecast: Forecast) -> None:
    """Put the picture on an empty figure."""
    figure.set_layout_engine("constrained")
    axes = figure.subplots()
    last = _right_edge(forecast)
    compose_panel(axes, forecast, last)
    _dress(axes, _left_edge(forecast), last)
    axes.set_title(textwrap.fill(forecast.words, 72), fontsize=10, loc="left")
    figure.legend(fontsize=8, loc="outside right upper", frameon=False)


def compose_panel(axes: Axes, forecast: Forecast, last: float) -> None:
    """The curve of one forecast, up to so many images per class."""
    now, curve = forecast.per_class_now, forecast.curve
    speaks = _speaks(forecast)
    first = _left_edge(forecast)
    seen, beyond = np.geomspace(first, now), np.geomspace(now, last)
    grid = np.geomspace(first, last if speaks else now * 1.2, 100)
    if forecast.verdict != "falls":  # no curve of this family fits one that does
        band = curve.band(grid)
        axes.fill_between(grid, *band, color="0.87", label="nominal 90 % interval", zorder=0)
        axes.plot(seen, curve.acc(seen), color=INK, label="fitted, mean of two laws")
    if speaks:
        axes.plot(beyond, curve.acc(beyond), "--", color=INK, label="extrapolated")
        for law, style, name in zip(curve.laws, LINES, NAMES, strict=True):
            axes.plot(grid, law.acc(grid), ls=style, color=SOFT, lw=0.9, label=name)
        level = forecast.asymptote["acc"]
        axes.axhline(level, color=SOFT, lw=0.6, label=f"levels off at {level:.2f}")
    _draw_points(axes, forecast.points)
    target = forecast.target_acc
    axes.axhline(target, color=RED, ls="-.", label=f"target {target:g}")
    axes.axvline(now, color=SOFT, lw=0.8, label=f"now: {now:,} per class")
    _draw_answer(axes, forecast, last)


def _speaks(forecast: Forecast) -> bool:
    """Whether there is anything to extrapolate."""
    return forecast.verdict not in ("noise", "falls", "steep")


def _left_edge(forecast: Forecast) -> int:
    return min(point.per_class for point in forecast.points)


def _right_edge(forecast: Forecast) -> float:
    """How far to draw: past the answer and its interval, and four times the data at least."""
    now, total = forecast.per_class_now, forecast.per_class_total or {}
    if not _speaks(forecast):
        return now * 1.2
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
