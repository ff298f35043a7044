"""What all pictures share: no pyplot and its global state, no matplotlib settings of the user's, so
that the same numbers give the same bytes."""

import io
import unicodedata
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from regraft.figures import fonts
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
    looks = STYLE | {"font.family": fonts.families()}
    with style.context(["default", looks]), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")  # `fonts` finds one, or tells
        figure = Figure((width, height), dpi=dpi)
        canvas = FigureCanvasAgg(figure)
        yield figure
        content = io.BytesIO()
        canvas.print_png(content, metadata={"Software": None})
        if fonts.fit(figure):
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
    """A name on one line and no wider than `limit` letters: what is too long loses its middle."""
    name = "".join(c if c.isprintable() else " " for c in name)
    if width_of(name) <= limit:
        return name
    first, last = "", ""
    while width_of(first + name[len(first)]) <= limit // 2:
        first += name[len(first)]
    while width_of(name[-len(last) - 1] + last) <= limit - limit // 2 - 1:
        last = name[-len(last) - 1] + last
    return f"{first}…{last}"


def width_of(name: str) -> int:
    """How many Latin letters a name is as wide as; a Chinese one counts as two.

    >>> width_of("owl"), width_of("银龙鱼")
    (3, 6)
    """
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in name)
