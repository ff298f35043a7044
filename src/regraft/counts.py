"""How many images of each class are told right, and which classes are taken for which.

No full table of class by class is ever made: for 20,000 classes it takes 3 GB. Classes are
indices, int (N,); what is counted are images.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array


@dataclass(frozen=True, eq=False)
class ByClass:
    """Per class, int (C,): images that are of it, that are said to be of it, and that are both."""

    true: np.ndarray
    predicted: np.ndarray
    right: np.ndarray

    @property
    def acc(self) -> float:
        return float(self.right.sum() / self.true.sum())

    @property
    def macro_f1(self) -> float:
        """The mean of the classes' F1; a class that is neither true nor predicted has none."""
        both = self.true + self.predicted
        return float(np.mean(2 * self.right[both > 0] / both[both > 0]))

    @property
    def balanced_acc(self) -> float:
        """The mean recall of the classes that have images."""
        seen = self.true > 0
        return float(np.mean(self.right[seen] / self.true[seen]))


def by_class(true: np.ndarray, predicted: np.ndarray, classes: int) -> ByClass:
    """Count the images of each class."""
    right = true[true == predicted]
    return ByClass(*(np.bincount(part, minlength=classes) for part in (true, predicted, right)))


def confusion(
    true: Sequence[int] | np.ndarray, predicted: Sequence[int] | np.ndarray, classes: int
) -> csr_array:
    """True (rows) by predicted class (columns), (C, C) with the pairs alone that occur."""
    ones = np.ones(len(true), dtype=np.int64)
    where = (np.asarray(true, dtype=np.int64), np.asarray(predicted, dtype=np.int64))
    return csr_array((ones, where), shape=(classes, classes))  # sums what occurs more than once


def taken_for(counts: csr_array, index: int, most: int) -> list[tuple[int, float]]:
    """The other classes that images of a class are said to be, the most frequent first and of
    equals the first, with how many."""
    row = slice(*counts.indptr[index : index + 2])
    others, images = counts.indices[row], counts.data[row]
    order = np.lexsort((others, -images))[: most + 1]
    found = zip(others[order].tolist(), images[order].tolist(), strict=True)
    return [(other, count) for other, count in found if other != index and count][:most]


def picture(counts: csr_array, most: int) -> np.ndarray:
    """A full table of at most `most` rows and columns: of more classes, neighbours share a cell."""
    classes, pairs = counts.shape[0], counts.tocoo()
    each = -(-classes // most)
    side = -(-classes // each)
    cells = np.zeros((side, side), dtype=np.int64)
    np.add.at(cells, (pairs.row // each, pairs.col // each), pairs.data)
    return cells
