"""The picture of which classes to collect: recall at every size, now, and with twice the images."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from regraft.classwise import ClassOutlook
from regraft.figures.canvas import INK, SOFT, drawing, shorten

MOST = 12  # classes that are drawn, those that lose most
BLUE = "#2a6ea6"


def draw(classes: Sequence[ClassOutlook], path: Path, now: int) -> None:
    """A line per class; `now` is how many images each class has."""
    shown = classes[:MOST]
    with drawing(path, 7.6, 1.5 + 0.34 * len(shown), 130) as figure:
        compose(figure, shown, len(classes), now)


def compose(figure: Figure, shown: Sequence[ClassOutlook], count: int, now: int) -> None:
    """Put the picture on an empty figure."""
    figure.set_layout_engine("constrained")
    axes = figure.subplots()
    for height, one in enumerate(reversed(shown)):
        _draw_class(axes, one, height)
    axes.set_yticks(range(len(shown)), [shorten(one.name, 20) for one in reversed(shown)])
    axes.set_ylim(-0.6, len(shown) - 0.4)
    axes.set_xlim(-0.02, 1.02)
    axes.set_xlabel("recall on the validation images (0 to 1)")
    axes.set_ylabel("class")
    axes.grid(axis="x", alpha=0.25)
    right = axes.secondary_yaxis("right")
    right.set_yticks(range(len(shown)), [_confused(one) for one in reversed(shown)], fontsize=8)
    right.tick_params(length=0)
    some = f" (the {len(shown)} of {count} that lose most)" if len(shown) < count else ""
    axes.set_title(f"Which classes to collect{some}, and what they are taken for", loc="left")
    figure.legend(
        *_legend(axes, now), fontsize=8, loc="outside lower center", ncols=3, frameon=False
    )


def _draw_class(axes: Axes, one: ClassOutlook, height: int) -> None:
    """Recall at smaller sizes as dots, now as a circle, with twice the images as a diamond."""
    up, down = height + 0.13, height - 0.13
    before = list(one.recall.values())[:-1]
    axes.plot(before, [height] * len(before), ".", color="0.65", ms=4, label="fewer images")
    axes.plot([one.now["low"], one.now["high"]], [up, up], color=SOFT, lw=1)
    axes.plot(one.now["estimate"], up, "o", mfc="white", mec=INK, ms=6, label="now")
    if one.at_2x is not None:
        axes.plot([one.at_2x["low"], one.at_2x["high"]], [down, down], color=BLUE, lw=1.6)
        axes.plot(one.at_2x["estimate"], down, "D", color=BLUE, ms=5, label="expected")


def _legend(axes: Axes, now: int) -> tuple[list, list[str]]:
    texts = {
        "fewer images": "with fewer images",
        "now": f"now, {now:,} per class (95 %)",
        "expected": "expected with twice as many (nominal 90 %)",
    }
    known = dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
    return [known[key] for key in texts if key in known], [texts[k] for k in texts if k in known]


def _confused(one: ClassOutlook) -> str:
    if not one.mistaken_for:
        return "never mistaken"
    name, share = next(iter(one.mistaken_for.items()))
    return f"as {shorten(name, 16)}: {100 * share:.0f} %"
