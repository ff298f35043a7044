"""What accuracy costs: each contender as a point over seconds, images and parameters."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter, NullLocator

from regraft.figures.canvas import INK, SOFT, drawing, legend_below, shorten

COSTS = {
    "wall_s": "seconds per job",
    "images_forwarded": "images sent through the trunk",
    "params_trained": "parameters trained",
}
MARKERS = "osD^vP*Xph<>8H"  # told apart without colour
MOST_NAMES, MOST_CELLS = len(MARKERS), 12
FILLS = ("#1a1a1a", "#ffffff", "#6f9fc4", "#e0a100", "#a8c8a0")


@dataclass(frozen=True)
class Point:
    """A contender: mean accuracy, its interval, and its mean cost of each kind that is known."""

    name: str
    acc: float
    interval: tuple[float, float] | None
    costs: dict[str, float]


def front(points: Sequence[Point], cost: str) -> list[Point]:
    """Those that no other one beats in accuracy at the same cost or less, cheapest first.

    >>> made = {"a": (0.9, 5), "b": (0.8, 1), "c": (0.7, 2)}
    >>> points = [Point(name, acc, None, {"s": s}) for name, (acc, s) in made.items()]
    >>> [point.name for point in front(points, "s")]
    ['b', 'a']
    """
    best: list[Point] = []
    for point in sorted(points, key=lambda point: (point.costs[cost], -point.acc)):
        if not best or point.acc > best[-1].acc:
            best.append(point)
    return best


def named(cells: Mapping[str, Sequence[Point]]) -> list[str]:
    """Who gets a marker and a name: all, or of many those that are best for their cost somewhere.

    >>> many = [Point(f"lr={i}", 0.5, None, {"wall_s": i + 1}) for i in range(99)]
    >>> named({"": many[:3]}), named({"": many})
    (['lr=0', 'lr=1', 'lr=2'], ['lr=0'])
    """
    names = dict.fromkeys(point.name for points in cells.values() for point in points)
    if len(names) <= MOST_NAMES:
        return list(names)
    best = {
        point.name
        for points in cells.values()
        for cost in COSTS
        for point in front([p for p in points if cost in p.costs], cost)
    }
    return [name for name in names if name in best][:MOST_NAMES]


def draw(cells: Mapping[str, Sequence[Point]], path: Path, *, title: str, of: str = "test") -> None:
    """A row per cell, a panel per cost: accuracy over it, the best for their cost joined."""
    names = named(cells)
    if len(cells) > MOST_CELLS:
        title += f": the first {MOST_CELLS} of {len(cells)} cells"
        cells = dict(list(cells.items())[:MOST_CELLS])
    height = 2.3 * len(cells) + 0.75 + 0.2 * math.ceil(len(names) / 4)
    with drawing(path, 9.0, height, 150) as figure:
        figure.set_layout_engine("constrained")
        grid = figure.subplots(len(cells), len(COSTS), squeeze=False, sharey="row")
        for row, (heading, points) in zip(grid, cells.items(), strict=True):
            row[0].set_title(shorten(heading, 60), fontsize=9, weight="bold", loc="left")
            row[0].set_ylabel(f"{of} accuracy (0 to 1)", fontsize=8)
            for axes, cost in zip(row, COSTS, strict=True):
                _panel(axes, points, cost, names)
        for axes, label in zip(grid[-1], COSTS.values(), strict=True):
            axes.set_xlabel(f"{label} (log scale)", fontsize=8)
        figure.suptitle(title, fontsize=10, weight="bold")
        legend_below(figure, grid.flat, 4)


def _panel(axes: Axes, points: Sequence[Point], cost: str, names: Sequence[str]) -> None:
    known = [point for point in points if point.costs.get(cost, 0) > 0]
    axes.tick_params(labelsize=8)
    axes.grid(alpha=0.25)
    if not known:
        axes.set_xticks([])
        axes.text(0.5, 0.5, "not recorded", transform=axes.transAxes, ha="center", color=SOFT)
        return
    axes.set_xscale("log")
    best = front(known, cost)
    axes.step(
        [point.costs[cost] for point in best],
        [point.acc for point in best],
        where="post",
        color=SOFT,
        lw=1,
        ls="--",
        label="best for its cost (equal costs are drawn side by side)",
        zorder=1,
    )
    others = [point for point in known if point.name not in names]
    if others:
        at = [point.costs[cost] for point in others], [point.acc for point in others]
        axes.plot(*at, ".", color=SOFT, ms=4, label="others", zorder=2)
    rest = [point for point in known if point.name in names]
    for point, x in zip(rest, _side_by_side([point.costs[cost] for point in rest]), strict=True):
        number = names.index(point.name)
        low, high = point.interval or (point.acc, point.acc)
        reach = [[point.acc - low], [high - point.acc]]
        axes.errorbar(x, point.acc, reach, color=SOFT, lw=1, capsize=2.5, zorder=2)
        marker, fill = MARKERS[number % len(MARKERS)], FILLS[number % len(FILLS)]
        look: dict[str, Any] = {"ms": 7, "mfc": fill, "mec": INK, "mew": 0.8, "zorder": 3}
        axes.plot(x, point.acc, marker, label=shorten(point.name, 40), **look)
    _ticks(axes, [point.costs[cost] for point in known])


def _side_by_side(values: Sequence[float]) -> list[float]:
    """The values, equal ones a little apart, so that their intervals can be told apart.

    >>> _side_by_side([10.0, 10.0, 30.0])
    [10.0, 10.6, 30.0]
    """
    seen: Counter[float] = Counter()
    moved = []
    for value in values:
        moved.append(round(value * 1.06 ** seen[value], 6))
        seen[value] += 1
    return moved


def _ticks(axes: Axes, values: Sequence[float]) -> None:
    low, high = min(values), max(values)
    axes.set_xlim(low / 1.6, high * 1.6)
    steps = (1,) if high / low > 100 else (1, 2, 5) if high / low > 3 else (1, 1.5, 2, 3, 4, 5, 7)
    ticks = (step * 10.0**power for power in range(-3, 13) for step in steps)
    seen = [tick for tick in ticks if low / 1.6 <= tick <= high * 1.6]  # each tick takes its time
    axes.xaxis.set_major_locator(FixedLocator(seen))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(_short))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _short(value: float, _: object = None) -> str:
    """A number in few characters.

    >>> [_short(v) for v in (0.5, 20, 2000, 1.5e6, 0)]
    ['0.5', '20', '2k', '1.5M', '0']
    """
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:g}{unit}"
    return f"{value:g}"
