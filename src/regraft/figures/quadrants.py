"""The picture of a sweep: the textbook's 2×2 grid of data sets, measured."""

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from matplotlib.textpath import TextPath

from regraft.figures.canvas import INK, SOFT, STAR, drawing, shorten

# Different in lightness and hatch: a print in black and white still tells them apart.
FILLS = (
    ("#cfe0ee", ""),
    ("#6f9fc4", ""),
    ("#ececec", "////"),
    ("#f3d9b1", "...."),
    ("#a8c8a0", "\\\\\\\\"),
    ("#b9a3c9", "xxxx"),
    ("#d9d9d9", "----"),
    ("#8c8c8c", ""),
)
HEADING: dict[str, Any] = {"fontsize": 10, "weight": "bold", "ha": "center", "va": "center"}
BAR, NOTE = 0.32, 0.145  # inches that a bar, and a line of the note below it, take up
GRID = (("small_similar", "small_dissimilar"), ("big_similar", "big_dissimilar"))
QUADRANTS = tuple(quadrant for row in GRID for quadrant in row)
COLUMNS = ("similar to what the backbone knows", "dissimilar")
ROWS = ("small data set", "big data set")


@dataclass(frozen=True)
class Bar:
    """One strategy in one cell; `mean` None when there is no result, and `note` then says why."""

    name: str
    mean: float | None
    interval: tuple[float, float] | None = None
    textbook: bool = False
    mark: str = ""  # "winner" | "tie" | ""
    note: str = ""  # printed beside the bar, wrapped


@dataclass(frozen=True)
class Panel:
    """One cell of the 2×2 grid: what was trained on, and its bars from top to bottom."""

    data: str
    bars: tuple[Bar, ...]


def draw(panels: Mapping[str, Panel], path: Path, *, title: str = "", footnote: str = "") -> None:
    """The textbook's 2×2 grid, small above big and similar left of dissimilar: `panels` by
    quadrant, one bar per strategy with its 95 % interval, the textbook's choice outlined, winner
    or tie marked; 1660 pixels wide."""
    names = dict.fromkeys(bar.name for panel in panels.values() for bar in panel.bars)
    fills = {name: FILLS[i % len(FILLS)] for i, name in enumerate(names)}
    rows = [max(height_of(panels.get(quadrant)) for quadrant in row) for row in GRID]
    foot = textwrap.wrap(footnote, 140)
    head, tail = 0.36 + 0.24 * bool(title), 0.42 + 0.15 * len(foot)
    height = head + sum(rows) + 0.1 + tail
    with drawing(path, 8.3, height, 200) as figure:
        top = height - head
        for cells, label, tall in zip(GRID, ROWS, rows, strict=True):
            for column, quadrant in enumerate(cells):
                box = (0.036 + 0.485 * column, (top - tall) / height, 0.477, tall / height)
                cell(figure.add_axes(box), panels.get(quadrant), fills, tall)
            figure.text(0.018, (top - tall / 2) / height, label, rotation=90, **HEADING)
            top -= tall + 0.1
        for column, label in enumerate(COLUMNS):
            figure.text(0.2745 + 0.485 * column, 1 - (head - 0.14) / height, label, **HEADING)
        figure.text(0.5, 1 - 0.17 / height, title, **HEADING)
        legend(figure, 0.15 * len(foot) + 0.24, height)
        figure.text(0.5, 0.06 / height, "\n".join(foot), fontsize=7.5, color=SOFT, ha="center")


def notes_of(bar: Bar) -> list[str]:
    """The lines that stand below a bar that has a result."""
    return textwrap.wrap(f"{bar.name}: {bar.note}", 72) if bar.note and bar.mean is not None else []


def height_of(panel: Panel | None) -> float:
    """Inches that a cell needs."""
    bars = panel.bars if panel else ()
    return 0.45 + sum(BAR + NOTE * len(notes_of(bar)) for bar in bars) if bars else 1.0


def cell(
    axes: Axes, panel: Panel | None, fills: Mapping[str, tuple[str, str]], tall: float
) -> None:
    """One cell, in inches from its top; accuracy 0 to 1 lies between x = 0 and 1."""
    axes.set(xlim=(-1.10, 2.14), ylim=(tall, 0), xticks=[], yticks=[])
    axes.spines[:].set(visible=True, color="#b0b0b0", linewidth=0.8)
    if panel is None or not panel.bars:
        axes.text(0.38, tall / 2, "not run", ha="center", va="center", color=SOFT)
        return
    axes.text(-1.06, 0.19, panel.data, fontsize=9, weight="bold", va="center", color=INK)
    y = 0.36
    for x in (0, 0.5, 1):
        axes.plot([x, x], [y, tall - 0.05], color="#d0d0d0", lw=0.6, zorder=0)
    for bar in panel.bars:
        draw_bar(axes, bar, y + BAR / 2, *fills[bar.name])
        y += BAR
        for text in notes_of(bar):
            backing: dict[str, Any] = {"facecolor": "white", "edgecolor": "none", "pad": 0.8}
            axes.text(
                -1.06, y + NOTE / 2, text, fontsize=7.5, style="italic", va="center", bbox=backing
            )
            y += NOTE


def draw_bar(axes: Axes, bar: Bar, y: float, fill: str, hatch: str) -> None:
    """Name, bar, interval, value and marks of one strategy in one line."""
    name = shorten(bar.name, 20)
    axes.text(-0.05, y - 0.055 * bar.textbook, name, ha="right", va="center", fontsize=8.5)
    if bar.textbook:
        label: dict[str, Any] = {"fontsize": 6.8, "weight": "bold", "ha": "right", "va": "center"}
        axes.text(-0.05, y + 0.08, "textbook’s choice", **label)
    if bar.mean is None:
        axes.text(0.03, y, bar.note or "not run", va="center", fontsize=8.5, color=SOFT)
        return
    edge, width = (INK, 2.4) if bar.textbook else ("#707070", 0.7)
    box = Rectangle((0, y - 0.1), bar.mean, 0.2, fc=fill, ec="#707070", hatch=hatch, lw=0)
    axes.add_patch(box)
    axes.add_patch(Rectangle((0, y - 0.1), bar.mean, 0.2, fill=False, ec=edge, lw=width))
    if bar.interval:
        low, high = bar.interval
        reach = [[bar.mean - low], [high - bar.mean]]
        axes.errorbar(bar.mean, y, xerr=reach, color=INK, lw=1.3, capsize=3.2, capthick=1.3)
        axes.text(1.41, y, f"{low:.3f}–{high:.3f}", va="center", fontsize=7, color=SOFT)
    weight = "bold" if bar.mark else "normal"
    axes.text(1.06, y, f"{bar.mean:.3f}", va="center", fontsize=8.5, weight=weight)
    if bar.mark == "winner":
        axes.plot(2.02, y, **STAR)
    elif bar.mark:
        axes.text(2.02, y, bar.mark, ha="center", va="center", fontsize=8.5, weight="bold")


def legend(figure: Figure, bottom: float, height: float) -> None:
    """What outline, whisker, star and tie mean, in one line below the grid."""
    tie = TextPath((-10, -3), "tie", size=10, prop=FontProperties(weight="bold"))
    marks = [
        (Patch(facecolor="white", edgecolor=INK, lw=2.4), "the textbook’s choice"),
        (Line2D([], [], color=INK, marker="|", ms=7, mew=1.3, lw=1.3), "95 % interval"),
        (Line2D([], [], ls="", **STAR), "measured winner"),
        (
            Line2D([], [], ls="", marker=tie, ms=19, color=INK, mew=0),
            "not told apart from the best",
        ),
    ]
    handles, labels = zip(*marks, strict=True)
    looks = {"frameon": False, "fontsize": 8.5, "handletextpad": 0.5, "columnspacing": 1.8}
    figure.legend(
        handles, labels, loc="center", bbox_to_anchor=(0.5, bottom / height), ncols=4, **looks
    )
