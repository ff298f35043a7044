"""Curves as points on a canvas; the template draws them as inline SVG."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

WIDTH, HEIGHT = 260, 130  # pixels of the area inside the axes
MOST_POINTS = 100  # of a curve: of more epochs every second, third … and the last are drawn
Point = tuple[float, float]


@dataclass(frozen=True)
class Tick:
    """A place on an axis, in pixels, and what is written there."""

    at: float
    label: str


@dataclass(frozen=True)
class Line:
    """One curve: its points in pixels, as SVG wants them; a single one is `dot`."""

    name: str
    points: str
    dot: bool


@dataclass(frozen=True)
class Chart:
    """Curves over common axes; `words` say the same to who cannot see it."""

    title: str
    lines: tuple[Line, ...]
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    marked: float | None  # x of the best epoch
    words: str


def learning(history: Sequence[Mapping[str, Any]], best: int | None) -> list[Chart]:
    """Loss and accuracy over epochs (see pictures.read_history); what was not measured is left
    out."""
    wanted = {
        "loss": {"training": "train/loss", "validation": "val/loss"},
        "accuracy": {"training": "train/acc", "validation": "val/acc"},
    }
    return [
        made
        for title, keys in wanted.items()
        if (
            made := _over_epochs(
                title, {name: _points(history, k) for name, k in keys.items()}, best
            )
        )
    ]


def _points(history: Sequence[Mapping[str, Any]], key: str) -> list[Point]:
    found = ((row.get("epoch"), row.get(key)) for row in history)
    points = [(x, y) for x, y in found if x is not None and y is not None and math.isfinite(y)]
    step = -(-len(points) // MOST_POINTS) or 1
    return points[::-1][::step][::-1]


def _over_epochs(title: str, curves: Mapping[str, list[Point]], best: int | None) -> Chart | None:
    values = [y for points in curves.values() for _, y in points]
    epochs = [x for points in curves.values() for x, _ in points]
    if not values:
        return None
    x_ticks, y_ticks = _nice(min(epochs), max(epochs), 6, whole=True), _nice(*_room(values), 4)
    left, right = min(epochs), max(epochs)
    low, high = y_ticks[0], y_ticks[-1]

    def x(epoch: float) -> float:
        return round(WIDTH * (epoch - left) / (right - left), 1) if right > left else WIDTH / 2

    def y(value: float) -> float:
        return round(HEIGHT * (1 - (value - low) / (high - low)), 1)

    lines = [
        Line(name, " ".join(f"{x(e):g},{y(v):g}" for e, v in points), len(points) == 1)
        for name, points in curves.items()
        if points
    ]
    last = {name: points[-1][1] for name, points in curves.items() if points}
    return Chart(
        title,
        tuple(lines),
        tuple(Tick(x(t), f"{t:g}") for t in x_ticks if left <= t <= right),
        tuple(Tick(y(t), f"{t:.4g}") for t in y_ticks),
        x(best) if best is not None and left <= best <= right else None,
        f"{title} over {len(set(epochs))} epochs, at the end "
        + ", ".join(f"{value:.3f} in {name}" for name, value in last.items()),
    )


def _room(values: Sequence[float]) -> Point:
    """The range of the values; where they are all the same, with room around them."""
    low, high = min(values), max(values)
    return (low, high) if high - low > 1e-9 else (low - 0.05, high + 0.05)


def _nice(low: float, high: float, most: int, *, whole: bool = False) -> list[float]:
    """Round numbers, at most about `most`, whose first and last lie around [low, high].

    >>> _nice(0.13, 0.94, 4), _nice(0, 19, 6, whole=True), _nice(3, 3, 6, whole=True)
    ([0.0, 0.5, 1.0], [0, 5, 10, 15, 20], [3])
    """
    if high <= low:
        return [low]
    rough = (high - low) / most
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * f for f in (1, 2, 5, 10) if power * f >= rough * (1 - 1e-9))
    step = max(1, round(step)) if whole else step
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(number * step, 10) for number in range(first, last + 1)]


@dataclass(frozen=True)
class Reliability:
    """A reliability diagram: places in pixels of a square, and the images behind each."""

    name: str
    points: tuple[tuple[float, float, float, int], ...]  # x, y, radius, images
    words: str


SQUARE = 160  # its side in pixels


def reliability(name: str, diagram: Any) -> Reliability | None:
    """Of [[images, mean confidence, accuracy], …] by bin of confidence; None where it is none."""
    try:
        bins = [(int(n), float(sure), float(acc)) for n, sure, acc in diagram]
    except (TypeError, ValueError):
        return None
    total = sum(n for n, _, _ in bins)
    if total <= 0 or not all(math.isfinite(sure + acc) for _, sure, acc in bins):
        return None
    points = tuple(
        (
            round(SQUARE * sure, 1),
            round(SQUARE * (1 - acc), 1),
            round(2 + 7 * (n / total) ** 0.5, 1),
            n,
        )
        for n, sure, acc in bins
    )
    words = "; ".join(f"confidence {sure:.2f}: {acc:.2f} of {n} right" for n, sure, acc in bins)
    return Reliability(name, points, words)
