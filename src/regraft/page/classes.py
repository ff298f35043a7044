"""What a job takes for what: the confusion matrix, and how each class fares."""

import base64
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image
from scipy.sparse import csr_array

from regraft.counts import ByClass, by_class, confusion, taken_for
from regraft.counts import picture as in_cells
from regraft.figures.canvas import shorten
from regraft.figures.runs import LONGEST
from regraft.statistics import wilson

IN_NUMBERS = 20  # classes, up to which the matrix is a table of counts; beyond, a picture
MOST_CLASSES = 100  # that are listed: those with the lowest recall
MOST_CELLS = 1000  # along a side of the picture: of more classes, neighbours share one
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
    picture: str | None  # the same as a PNG in base64, a pixel for each cell or some of them
    pairs: tuple[tuple[str, str, int], ...]  # true, predicted, images: the most frequent confusions
    rows: tuple[ClassRow, ...]  # the lowest recall first
    absent: int  # classes without test images


def of(true: Sequence[int], predicted: Sequence[int], names: Sequence[str]) -> Classes:
    """Of true and predicted class indices (n,)."""
    k = len(names)
    counts, of_each = (
        confusion(true, predicted, k),
        by_class(np.array(true), np.array(predicted), k),
    )
    cells = in_cells(counts, MOST_CELLS)
    # The root lets rare mistakes show at all.
    shades = np.sqrt(cells / np.maximum(cells.sum(1, keepdims=True), 1))
    small = k <= IN_NUMBERS
    present = np.flatnonzero(of_each.true)
    worst = np.argsort(of_each.right[present] / of_each.true[present], kind="stable")
    listed = present[worst[:MOST_CLASSES]].tolist()
    return Classes(
        tuple(names),
        tuple(shorten(name, LONGEST) for name in names),
        tuple(map(tuple, cells.tolist())) if small else (),
        tuple(map(tuple, np.rint(100 * shades).astype(int).tolist())) if small else (),
        None if small else _png(shades),
        tuple(_most_frequent(counts, names)),
        tuple(_row(index, of_each, taken_for(counts, index, 1), names) for index in listed),
        k - len(present),
    )


def _most_frequent(counts: csr_array, names: Sequence[str]) -> Iterator[tuple[str, str, int]]:
    """The confusions with the most images; of equals the first by true and predicted class."""
    pairs = counts.tocoo()
    wrong = pairs.row != pairs.col
    true, predicted, images = pairs.row[wrong], pairs.col[wrong], pairs.data[wrong]
    for cell in np.lexsort((predicted, true, -images))[:MOST_PAIRS]:
        yield names[true[cell]], names[predicted[cell]], int(images[cell])


def _row(
    index: int, counts: ByClass, taken: Sequence[tuple[int, float]], names: Sequence[str]
) -> ClassRow:
    """A class, and what most of its other images were `taken` for, if any."""
    images, called, right = (int(n[index]) for n in (counts.true, counts.predicted, counts.right))
    low, high = wilson(right / images, images)
    name, many = (names[taken[0][0]], int(taken[0][1])) if taken else ("", 0)
    precision = right / called if called else None
    return ClassRow(names[index], images, right / images, low, high, precision, name, many)


def _png(shades: np.ndarray) -> str:
    content = io.BytesIO()
    pixels = np.rint(255 * (1 - shades)).astype(np.uint8)
    Image.fromarray(pixels).save(content, "PNG", optimize=True)
    return base64.b64encode(content.getvalue()).decode()
