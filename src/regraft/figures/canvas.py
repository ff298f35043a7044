"""What all pictures share: no pyplot and its global state, no matplotlib settings of the user's, so
that the same numbers give the same bytes."""

import io
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from regraft.paths import write_whole

STYLE = {
    "font.size": 9,
    "text.parse_math": False,  # a class called "$5 and $10" is not a formula
    "axes.spines.top": False,
    "axes.spines.right": False,
    "hatch.linewidth": 0.6,
    "savefig.facecolor": "white",
}
INK, SOFT = "#1a1a1a", "#5c5c5c"
STAR: dict[str, Any] = {"marker": "*", "ms": 11, "color": "#e0a100", "mec": INK, "mew": 0.7}


@contextmanager
def drawing(path: Path, width: float, height: float, dpi: int) -> Iterator[Figure]:
    """A figure of this many inches that is written to `path` as PNG at the end."""
    with style.context(["default", STYLE]), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")  # a box in its place will do
        figure = Figure((width, height), dpi=dpi)
        canvas = FigureCanvasAgg(figure)
        yield figure
        content = io.BytesIO()
        canvas.print_png(content, metadata={"Software": None})
        write_whole(path, content.getvalue())


def legend_below(figure: Figure, panels: Iterable[Axes], columns: int) -> None:
    """One legend for all panels, with each label once, below them."""
    drawn = {str(line.get_label()): line for axes in panels for line in axes.lines}
    handles = {label: line for label, line in drawn.items() if not label.startswith("_")}
    figure.legend(
        handles.values(),
        list(handles),
        loc="outside lower center",
        ncols=columns,
        frameon=False,
        fontsize=8,
    )


def shorten(name: str, limit: int) -> str:
    """A name on one line and of at most `limit` characters: what is too long loses its middle."""
    name = "".join(c if c.isprintable() else " " for c in name)
    return name if len(name) <= limit else f"{name[: limit // 2]}…{name[limit // 2 - limit + 1 :]}"
