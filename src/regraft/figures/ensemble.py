"""The picture of an ensemble: accuracy of its members and of what was made of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes

from regraft.figures.canvas import INK, SOFT, STAR, drawing, legend_below, shorten

MOST = 30  # rows in one picture
LOOK: dict[str, Any] = {"mec": INK, "mew": 0.9, "zorder": 3}


@dataclass(frozen=True)
class Line:
    """A combination or a member: accuracies, the test one with its interval, and its weight in
    what is chosen; None for a combination."""

    name: str
    val: float
    test: float
    interval: tuple[float, float]
    weight: float | None = None
    chosen: bool = False


def draw(lines: Sequence[Line], path: Path, *, val: int, test: int) -> None:
    """A row per line from top to bottom, accuracies to the left and weights to the right; `val` and
    `test` count the images."""
    left_out, lines = max(0, len(lines) - MOST), lines[:MOST]
    with drawing(path, 9.0, 1.5 + 0.32 * len(lines), 150) as figure:
        figure.set_layout_engine("constrained")
        left, right = figure.subplots(1, 2, sharey=True, width_ratios=[3, 1])
        more = f" (and {left_out} more members)" if left_out else ""
        figure.suptitle(f"Combinations, and their members by validation accuracy{more}", size=10)
        _accuracies(left, lines, val, test)
        _weights(right, lines)
        legend_below(figure, [left], 3)


def _accuracies(axes: Axes, lines: Sequence[Line], val: int, test: int) -> None:
    for row, line in enumerate(lines):
        low, high = line.interval
        reach = [[line.test - low], [high - line.test]]
        axes.errorbar(line.test, row + 0.14, xerr=reach, color=SOFT, lw=1.1, capsize=2.5)
        look: dict[str, Any] = {"ls": "", "ms": 6, **LOOK}
        label = f"{val:,} validation images"
        axes.plot(line.val, row - 0.16, marker="o", mfc="white", label=label, **look)
        label = f"{test:,} test images, with 95 % interval"
        axes.plot(line.test, row + 0.14, marker="s", mfc=INK, label=label, **look)
        if line.chosen:
            axes.plot(
                1.03, row, ls="", label="chosen on the validation images", clip_on=False, zorder=4,
                transform=axes.get_yaxis_transform(), **STAR,
            )  # fmt: skip
    first = next((row for row, line in enumerate(lines) if line.weight is not None), None)
    if first:
        axes.axhline(first - 0.5, color=SOFT, lw=0.8, ls="--")
    axes.set_yticks(range(len(lines)), [shorten(line.name, 44) for line in lines], fontsize=8)
    axes.set_ylim(len(lines) - 0.5, -0.5)
    axes.set_xlabel("accuracy", fontsize=8)
    axes.tick_params(labelsize=8)
    axes.grid(axis="x", alpha=0.25)


def _weights(axes: Axes, lines: Sequence[Line]) -> None:
    """A bar per member that is used."""
    rows = [(row, line.weight) for row, line in enumerate(lines) if line.weight]
    where, widths = [row for row, _ in rows], [weight for _, weight in rows]
    axes.barh(where, widths, height=0.5, color="#d9d9d9", edgecolor=INK, lw=0.7)
    for row, weight in rows:
        axes.text(weight, row, f" {weight:.2f}", va="center", fontsize=8)
    axes.set_xlim(0, 1.35 * max([*widths, 1e-9]))
    axes.set_xlabel("weight in what is chosen", fontsize=8)
    axes.tick_params(labelsize=8, left=False)
