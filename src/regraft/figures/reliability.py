"""Is the network right as often as it is sure: a reliability diagram, before and after."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from regraft.calibration import BINS, error
from regraft.figures.canvas import INK, SOFT, drawing

Diagram = Sequence[Sequence[float]]  # per bin: images, mean confidence, accuracy
BLUE = "#1f5f8b"


def draw(found: Mapping[str, Any], path: Path, of: str = "test") -> None:
    """Write the picture of what result.json says of a calibration, on the images `of` a split."""
    with drawing(path, 4.6, 5.0, 130) as figure:
        compose(figure, found, of)


def compose(figure: Figure, found: Mapping[str, Any], of: str = "test") -> None:
    """Accuracy over confidence, and how many images are that sure."""
    before, after = found["before"], found["after"]
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    figure.subplots_adjust(left=0.14, right=0.96, bottom=0.1, top=0.83, hspace=0.08)
    above.plot([0, 1], [0, 1], color=SOFT, lw=0.8, ls=":", label="as sure as right")
    as_it_is = f"as it is: error {error(before):.3f}"
    scaled = f"temperature {found['temperature']:.2f}: error {error(after):.3f}"
    line(above, before, as_it_is, color=SOFT, ls="--", marker="s", mfc="white")
    line(above, after, scaled, color=BLUE, ls="-", marker="o")
    count(below, before, color="white", edgecolor=SOFT, hatch="///")
    count(below, after, color=BLUE, width=0.4 / BINS)
    if found.get("threshold") is not None:
        label = f"abstains below {found['threshold']:.3f}"
        above.axvline(found["threshold"], color=INK, lw=0.9, label=label)
        below.axvline(found["threshold"], color=INK, lw=0.9)
    above.set(ylabel="accuracy", ylim=(-0.02, 1.02), xlim=(0, 1))
    tested = f"{sum(images for images, *_ in after):,} {of} images"
    stands = found.get("images")  # of a run of before, nobody knows
    fitted = f", temperature of {stands:,} validation images" if stands else ""
    figure.suptitle(tested + fitted, y=0.98, fontsize=10)
    looks: Any = {"frameon": False, "fontsize": 8, "ncol": 2, "loc": "upper center"}
    figure.legend(bbox_to_anchor=(0.55, 0.95), **looks)
    below.set(ylabel="images", xlabel="confidence of the predicted class")


def line(axes: Axes, diagram: Diagram, label: str, **looks: Any) -> None:
    """Accuracy over confidence, a marker per bin, which is small where it has few images."""
    images, confidence, accuracy = zip(*diagram, strict=True)
    axes.plot(confidence, accuracy, label=label, lw=1.2, ms=2, **looks)
    for count, sure, acc in zip(images, confidence, accuracy, strict=True):
        size = 2 + 7 * (count / max(images)) ** 0.25
        axes.plot(sure, acc, ms=size, clip_on=False, **looks)


def count(axes: Axes, diagram: Diagram, *, width: float = 0.9 / BINS, **looks: Any) -> None:
    """How many images each bin has, in its middle."""
    images, confidence, _ = zip(*diagram, strict=True)
    middles = [(min(int(sure * BINS), BINS - 1) + 0.5) / BINS for sure in confidence]
    axes.bar(middles, images, width=width, **looks)
