"""What a job takes for what: the confusion matrix, and how each class fares."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from regraft.figures.canvas import shorten
from regraft.figures.runs import LONGEST
from regraft.statistics import wilson

IN_NUMBERS = 20  # classes, up to which the matrix is a table of counts; beyond, a picture
MOST_CLASSES = 100  # that are listed: those with the lowest recall
MOST_PAIRS = 10  # confusions that are named where the matrix is a picture


@dataclass(frozen=True)
class ClassRow:
    """One class: how many test images it has, how many of them were told right (recall, with 95 %
    Wilson interval), how many of what was called so is so (precision), and what most of the others
    were taken for."""

    name: str
    images: int
    recall: float
    low: float
    high: float
    precision: float | None
    taken_for: str
    taken: int


@dataclass(frozen=True)
class Classes:
    """The test images of one job by true and predicted class."""

    names: tuple[str, ...]
    labels: tuple[str, ...]  # the names, where there is little room
    counts: tuple[tuple[int, ...], ...]  # empty where there are too many classes for a table
    shades: tuple[tuple[int, ...], ...]  # of each cell's share of its row, in per cent
    picture: str | None  # the same as a PNG in base64, a pixel for each cell
    pairs: tuple[tuple[str, str, int], ...]  # true, predicted, images: the most frequent confusions
    rows: tuple[ClassRow, ...]  # the lowest recall first
    absent: int  # classes without test images


def of(true: Sequence[int], predicted: Sequence[int], names: Sequence[str]) -> Classes:
    """Of true and predicted class indices (n,)."""
    k = len(names)
    counts = np.zeros((k, k), dtype=np.int64)
    np.add.at(counts, (np.array(true, dtype=np.int64), np.array(predicted, dtype=np.int64)), 1)
    images = counts.sum(1)
    # The root lets rare mistakes show at all.
    shades = np.sqrt(counts / np.maximum(images[:, None], 1))
    small = k <= IN_NUMBERS
    wrong = counts.copy()
    np.fill_diagonal(wrong, 0)
    order = np.argsort(-wrong, axis=None, kind="stable")[:MOST_PAIRS]
    pairs = [divmod(int(cell), k) for cell in order if wrong.flat[cell]]
    rows = [_row(index, counts, wrong, names) for index in range(k) if images[index]]
    return Classes(
        tuple(names),
        tuple(shorten(name, LONGEST) for name in names),
        tuple(map(tuple, counts.tolist())) if small else (),
        tuple(map(tuple, np.rint(100 * shades).astype(int).tolist())) if small else (),
        None if small else _png(shades),
        tuple((names[t], names[p], int(counts[t, p])) for t, p in pairs),
        tuple(sorted(rows, key=lambda row: row.recall)[:MOST_CLASSES]),
        int((images == 0).sum()),
    )


def _row(index: int, counts: np.ndarray, wrong: np.ndarray, names: Sequence[str]) -> ClassRow:
    images, called = int(counts[index].sum()), int(counts[:, index].sum())
    right, other = int(counts[index, index]), int(wrong[index].argmax())
    low, high = wilson(right / images, images)
    taken = int(wrong[index, other])
    precision = right / called if called else None
    name = names[other] if taken else ""
    return ClassRow(names[index], images, right / images, low, high, precision, name, taken)


def _png(shades: np.ndarray) -> str:
    content = io.BytesIO()
    pixels = np.rint(255 * (1 - shades)).astype(np.uint8)
    Image.fromarray(pixels).save(content, "PNG", optimize=True)
    return base64.b64encode(content.getvalue()).decode()
