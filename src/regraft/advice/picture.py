"""The picture of an advice: the data set as a point on the textbook's table, and its evidence."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis

from regraft.advice.measure import Auto, Evidence
from regraft.figures.canvas import INK, SOFT, drawing

TEXTBOOK = {  # by (similar, small)
    (True, True): "feature_extraction",
    (True, False): "finetune",
    (False, True): "collect",
    (False, False): "scratch",
}
BACKING: dict[str, Any] = {"facecolor": "white", "edgecolor": "none", "pad": 1.0, "alpha": 0.8}


def draw(evidence: Evidence, auto: Auto, path: Path, *, title: str) -> None:
    """The map on the left, the probes by depth on the right; 1350 pixels wide."""
    with drawing(path, 9.0, 4.2, 150) as figure:
        figure.set_layout_engine("constrained")
        left, right = figure.subplots(1, 2, width_ratios=(1.15, 1))
        _map(left, evidence, auto)
        _depths(right, evidence)
        name = f"{evidence.data} ({evidence.sizes['train']:,} images) on {evidence.backbone}"
        figure.suptitle(textwrap.fill(f"{name}: {title}", 110), fontsize=10, weight="bold")


def _map(axes: Axes, evidence: Evidence, auto: Auto) -> None:
    """The textbook's order: similar to the left, a small data set above a big one.

    Both axes are stretched so that the table's lines lie in the middle.
    """
    found, size = evidence.similarity, evidence.size
    least = min(0.0, found.interval[0] if found else 0.0)
    ends = [100 * end for end in size.interval or (0.0, 0.0)]
    line = 100 * auto.small_gain
    across = _Scale(1.0, auto.similar_from, min(-0.2, least - 0.05))
    up = _Scale(min(0.0, *ends), line, max(4 * line, 1.5 * max(ends)))
    axes.set(xlim=(0, 1), ylim=(0, 1))
    axes.axvline(0.5, color=INK, lw=1)
    axes.axhline(0.5, color=INK, lw=1)
    for (similar, small), strategy in TEXTBOOK.items():
        words = f"{'small' if small else 'big'}, {'similar' if similar else 'not similar'}"
        at = 0.48 if similar else 0.98, 0.98 if small else 0.48
        axes.text(
            *at, f"{words}\n(textbook: {strategy})", ha="right", va="top", fontsize=8, color=SOFT
        )
    _ticks(axes.xaxis, across, [1, 0.95, 0.9, 0.85, 0.8, 0.75, 0.5, 0.25, 0, -0.5, -1])
    _ticks(axes.yaxis, up, [0, 0.5, 1, 1.5, 2, line, 5, 10, 15, 20, 30, 40])
    axes.set_xlabel(
        "similarity: share of random features' errors avoided (scale changes at the line)"
    )
    axes.set_ylabel("points of accuracy that twice the images bring")
    _point(axes, evidence, across, up)


@dataclass(frozen=True)
class _Scale:
    """Places of values between 0 and 1, that of the `line` in the middle."""

    begin: float
    line: float
    end: float

    def __call__(self, value: float) -> float:
        known = np.array([self.begin, self.line, self.end])
        sign = 1 if self.end > self.begin else -1
        return float(np.interp(sign * value, sign * known, (0, 0.5, 1)))

    def holds(self, value: float) -> bool:
        return min(self.begin, self.end) <= value <= max(self.begin, self.end)


def _ticks(axis: Axis, scale: _Scale, values: Sequence[float]) -> None:
    shown: dict[float, str] = {}
    for value in values:
        place = scale(value)
        if scale.holds(value) and all(abs(place - other) > 0.045 for other in shown):
            shown[place] = f"{value:g}"
    axis.set_ticks([*shown], [*shown.values()])


def _point(axes: Axes, evidence: Evidence, across: _Scale, up: _Scale) -> None:
    """The data set; where only one of the answers is known, a line instead of a point."""
    found, size = evidence.similarity, evidence.size
    middle: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": 8.5, "bbox": BACKING}
    line: dict[str, Any] = {"color": INK, "lw": 1.2}
    reach = [100 * end for end in size.interval] if size.interval else None
    if found and size.gain is not None and reach:
        x, y = across(found.share), up(100 * size.gain)
        xs, ys = [across(end) for end in found.interval], [up(end) for end in reach]
        axes.plot(xs, [y, y], "-|", **line)
        axes.plot([x, x], ys, "-_", **line)
        axes.plot(x, y, "o", ms=9, mfc="#e0a100", mec=INK)
        return
    if found:
        axes.axvspan(*map(across, found.interval), color="#e0a100", alpha=0.35, zorder=0)
        axes.axvline(across(found.share), ls="--", **line)
        said = f"no learning curve:\n{size.per_class:.0f} images per class"
    elif size.gain is not None and reach:
        axes.axhspan(*map(up, reach), color="#e0a100", alpha=0.35, zorder=0)
        axes.axhline(up(100 * size.gain), ls="--", **line)
        said = "similarity cannot be measured"
    else:
        said = "neither could be measured"
    axes.text(0.5, 0.5, said, **middle)


def _depths(axes: Axes, evidence: Evidence) -> None:
    """Accuracy of the linear probe after each stage, pretrained against random."""
    found = evidence.similarity
    axes.set_ylim(0, 1.02)
    axes.set_ylabel("accuracy of a linear probe (0 to 1)")
    axes.set_xlabel("features after stage")
    axes.grid(alpha=0.25)
    if found is None:
        axes.set_xticks([])
        axes.text(0.5, 0.5, "not measured: random weights", transform=axes.transAxes, ha="center")
        return
    places = np.arange(len(found.depths))
    for weights, look in LOOKS.items():
        probes = [getattr(depth, weights) for depth in found.depths]
        reach = [
            [probe.acc - probe.interval[0] for probe in probes],
            [probe.interval[1] - probe.acc for probe in probes],
        ]
        axes.errorbar(
            places, [probe.acc for probe in probes], reach, capsize=2.5, lw=1.2, mec=INK, **look
        )
    axes.axhline(found.majority, color=SOFT, ls=":", label=f"majority class {found.majority:.2f}")
    axes.axvline(
        found.helpful - 1, color=SOFT, lw=5, alpha=0.25, label=f"best after {found.best.stage}"
    )
    step = max(1, len(places) // 7)
    axes.set_xticks(places[::step], [depth.stage for depth in found.depths][::step], fontsize=8)
    axes.legend(fontsize=8, loc="best", framealpha=0.9)


LOOKS: dict[str, dict[str, Any]] = {
    "pretrained": {"fmt": "o-", "color": INK, "mfc": "#e0a100", "label": "pretrained weights"},
    "random": {"fmt": "s--", "color": SOFT, "mfc": "white", "label": "random weights"},
}
