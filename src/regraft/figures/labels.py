"""What initial weights are worth: accuracy over the number of labels, a line for each kind."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import fill

from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from regraft.figures.canvas import INK, drawing, shorten
from regraft.figures.pareto import FILLS, MARKERS

LINES = ("-", "--", "-.", ":")  # told apart without colour, as the markers are
APART = 1.03  # so that intervals of equal numbers of labels can be told apart


@dataclass(frozen=True)
class Place:
    """Mean accuracy with so many labels, and its interval."""

    labels: float
    acc: float
    interval: tuple[float, float] | None


def draw(
    lines: Mapping[str, Sequence[Place]], path: Path, *, title: str, axis: str, of: str = "test"
) -> None:
    """A line per kind of weights; `axis` says what is counted."""
    with drawing(path, 6.4, 4.2, 150) as figure:
        figure.set_layout_engine("constrained")
        axes = figure.subplots()
        axes.set_xscale("log")
        for number, (name, places) in enumerate(lines.items()):
            x = [place.labels * APART ** (number - len(lines) // 2) for place in places]
            reach = [
                [place.acc - (place.interval or (place.acc,))[0] for place in places],
                [(place.interval or (place.acc,))[-1] - place.acc for place in places],
            ]
            axes.errorbar(
                x,
                [place.acc for place in places],
                reach,
                label=shorten(name, 40),
                color=INK,
                ls=LINES[number % len(LINES)],
                lw=1.1,
                marker=MARKERS[number % len(MARKERS)],
                ms=7,
                mfc=FILLS[number % len(FILLS)],
                mec=INK,
                mew=0.8,
                elinewidth=0.7,
                capsize=2.5,
            )
        sizes = sorted({place.labels for places in lines.values() for place in places})
        axes.xaxis.set_major_locator(FixedLocator(sizes))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.set_xlabel(f"{axis} (log scale)")
        axes.set_ylabel(f"{of} accuracy (0 to 1), 95 % interval")
        axes.grid(alpha=0.25)
        figure.suptitle(fill(title, 70), x=0.01, ha="left", fontsize=10, weight="bold")
        axes.legend(frameon=False, fontsize=9, loc="lower right")
