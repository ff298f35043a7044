"""The pictures of one run: its learning over epochs, and what it takes for what."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from regraft import counts
from regraft.figures.canvas import INK, SOFT, STAR, drawing, shorten, width_of

LONGEST = 18  # characters of a class name
MOST = 1000  # cells along a side of the confusion matrix: about as many pixels as it has


def curves(history: Sequence[Mapping[str, Any]], path: Path, *, best: int | None = None) -> None:
    """Loss and accuracy over epochs; `history` has a row per epoch (`epoch`, `train/loss`,
    `val/loss`, `val/acc`; absent, None or NaN where not measured). Marked is epoch `best`, or
    the highest `val/acc`."""
    accs = points(history, "val/acc")
    if best is None and accs:
        best = max(accs, key=lambda point: point[1])[0]
    with drawing(path, 8.0, 3.0, 130) as figure:
        loss, acc = figure.subplots(1, 2)
        figure.subplots_adjust(left=0.07, right=0.98, bottom=0.16, top=0.9, wspace=0.17)
        line(loss, points(history, "train/loss"), "train", color=SOFT, ls="--", marker="s")
        line(loss, points(history, "val/loss"), "validation", color="#1f5f8b", marker="o")
        line(acc, accs, "validation", color="#1f5f8b", marker="o")
        finish(loss, "loss", best)
        finish(acc, "accuracy", best)
        for value in (value for epoch, value in accs if epoch == best):
            acc.plot(best, value, **STAR)
            acc.set_title(f"accuracy: {value:.3f} at the best epoch")


def points(history: Sequence[Mapping[str, Any]], key: str) -> list[tuple[int, float]]:
    """(epoch, value) where the value was measured."""
    rows = ((int(row["epoch"]), row.get(key)) for row in history)
    return [(e, float(v)) for e, v in rows if v is not None and math.isfinite(float(v))]


def line(axes: Axes, values: Sequence[tuple[int, float]], label: str, **looks: Any) -> None:
    """One labelled curve; markers only while they can be told apart."""
    if values:
        epochs, heights = zip(*values, strict=True)
        axes.plot(epochs, heights, label=label, lw=1.5, ms=4 if len(epochs) <= 40 else 0, **looks)


def finish(axes: Axes, title: str, best: int | None) -> None:
    """Title, ticks, legend and best epoch; room around a single point, where matplotlib would
    zoom in."""
    axes.set_title(title)
    if not axes.lines:
        axes.set(xticks=[], yticks=[])
        axes.text(0.5, 0.5, "not measured", transform=axes.transAxes, ha="center", color=SOFT)
        return
    axes.set_xlabel("epoch, counted from 0")
    axes.grid(axis="y", color="#dddddd", lw=0.6)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    (left, right), (low, high) = axes.dataLim.intervalx, axes.dataLim.intervaly
    if left == right:
        axes.set(xlim=(left - 0.5, left + 0.5), xticks=[int(left)])
    if high - low < 0.02:
        axes.set_ylim(low - 0.1, high + 0.1)
    if best is not None:
        axes.axvline(best, color=INK, lw=0.8, ls=":", label=f"best epoch ({best})")
    axes.legend(frameon=False, fontsize=8)


def confusion_matrix(
    true: Sequence[int] | np.ndarray,
    predicted: Sequence[int] | np.ndarray,
    classes: Sequence[str],
    path: Path,
) -> None:
    """Counts of predicted (columns) by true class (rows), given as class indices (n,); the shade
    is a cell's share of its row, and with 20 classes or fewer the count stands in it. Of more than
    MOST classes, neighbours share a cell."""
    k = len(classes)
    found = counts.confusion(true, predicted, k)
    cells = counts.picture(found, MOST)
    shares = cells / np.maximum(cells.sum(axis=1, keepdims=True), 1)
    matrix = min(max(2.2, 0.3 * k), 9.0)  # inches; the rest is room for the names
    margin = 0.6 + 0.075 * max(width_of(shorten(name, LONGEST)) for name in classes)
    side = margin + matrix + 0.4
    with drawing(path, side, side, 130) as figure:
        axes = figure.add_axes((margin / side, margin / side, matrix / side, matrix / side))
        # The root lets rare mistakes among many classes show at all.
        extent = (-0.5, k - 0.5, k - 0.5, -0.5)
        looks: Any = {"cmap": "Blues", "vmin": 0, "vmax": 1, "interpolation": "nearest"}
        axes.imshow(np.sqrt(shares), extent=extent, **looks)
        accuracy = found.diagonal().sum() / max(len(true), 1)
        axes.set(xlabel="predicted class", ylabel="true class")
        axes.set_title(f"{len(true)} images, accuracy {accuracy:.3f}")
        axes.spines[:].set_visible(True)
        name_classes(axes, classes, 72 * matrix / k)
        if k <= 20:
            size = 8 if cells.max() < 1000 else 6
            for row, column in np.argwhere(cells).tolist():
                colour = "white" if shares[row, column] > 0.3 else INK
                text = str(cells[row, column])
                axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=size)


def name_classes(axes: Axes, classes: Sequence[str], room: float) -> None:
    """Class names at both axes, each in `room` points; only every second, fifth … where that is
    too little."""
    step = next(
        (s for s in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000) if room * s >= 5.5), len(classes)
    )
    names = [shorten(name, LONGEST) for name in classes[::step]]
    size = min(9.0, 0.9 * room * step)
    rotation = 90 if any(len(name) > 2 for name in names) else 0
    axes.set_xticks(range(0, len(classes), step), names, fontsize=size, rotation=rotation)
    axes.set_yticks(range(0, len(classes), step), names, fontsize=size)
    axes.tick_params(length=2)
