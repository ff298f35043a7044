"""The picture of a ranking: what a probe said of each backbone, and what training measured."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes

from regraft.figures.canvas import INK, SOFT, STAR, drawing, legend_below, shorten

Estimate = tuple[float, float, float]  # accuracy and its interval
MOST = 40  # backbones in one picture
LOOK: dict[str, Any] = {"mec": INK, "mew": 0.9, "zorder": 3}


@dataclass(frozen=True)
class Bar:
    """One backbone; `probe` is None if that failed, `trained` if it was not trained."""

    name: str
    probe: Estimate | None
    trained: Estimate | None
    params: int | None
    seconds: float | None  # a training took
    mark: str  # "first" | "tie" | ""
    winner: bool  # of those trained, or ties with the best
    note: str = ""


def draw(bars: Sequence[Bar], path: Path, *, images: int) -> None:
    """A row per backbone from top to bottom: accuracies to the left, parameters to the right."""
    bars = bars[:MOST]
    with drawing(path, 9.0, 1.55 + 0.36 * len(bars), 150) as figure:
        figure.set_layout_engine("constrained")
        left, right = figure.subplots(1, 2, sharey=True, width_ratios=[3, 2])
        figure.suptitle("Which backbone? Probed on frozen features, the best ones trained", size=10)
        _accuracies(left, bars, images)
        _costs(right, bars)
        legend_below(figure, [left], 3)


def _accuracies(axes: Axes, bars: Sequence[Bar], images: int) -> None:
    for row, bar in enumerate(bars):
        if bar.note:
            where = axes.get_yaxis_transform()
            axes.text(0.02, row, bar.note, transform=where, va="center", color=SOFT, size=8)
        probe = f"probe, cross-validated on {images:,} training images"
        _dot(axes, row - 0.13, bar.probe, "o", "white", probe)
        _dot(axes, row + 0.17, bar.trained, "s", INK, "trained: test images")
        if bar.winner and bar.trained:
            axes.plot(
                bar.trained[2] + 0.012, row + 0.17, ls="", label="best of those trained, or tie",
                clip_on=False, zorder=4, **STAR,
            )  # fmt: skip
    marks = {"first": " (first)", "tie": " (tie)", "": ""}
    labels = [f"{shorten(bar.name, 34)}{marks[bar.mark]}" for bar in bars]
    axes.set_yticks(range(len(bars)), labels, fontsize=8)
    axes.set_ylim(len(bars) - 0.5, -0.5)
    axes.set_xlabel("accuracy, with 95 % interval", fontsize=8)
    axes.tick_params(labelsize=8)
    axes.grid(axis="x", alpha=0.25)


def _dot(
    axes: Axes, row: float, value: Estimate | None, marker: str, fill: str, label: str
) -> None:
    if value is None:
        return
    acc, low, high = value
    axes.errorbar(acc, row, xerr=[[acc - low], [high - acc]], color=SOFT, lw=1.1, capsize=2.5)
    axes.plot(acc, row, marker, ms=6, mfc=fill, label=label, **LOOK)


def _costs(axes: Axes, bars: Sequence[Bar]) -> None:
    millions = [(bar.params or 0) / 1e6 for bar in bars]
    axes.barh(range(len(bars)), millions, height=0.5, color="#d9d9d9", edgecolor=INK, lw=0.7)
    for row, (bar, width) in enumerate(zip(bars, millions, strict=True)):
        if bar.params:
            text = f" {width:.3g} M"
            text += f", {bar.seconds:.0f} s to train" if bar.seconds is not None else ""
            axes.text(width, row, text, va="center", fontsize=8)
    axes.set_xlim(0, 1.9 * max([*millions, 1e-9]))
    axes.set_xlabel("parameters, millions", fontsize=8)
    axes.tick_params(labelsize=8, left=False)
