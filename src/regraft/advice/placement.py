"""Where a data set lies in the textbook's 2×2 table, and how sure that is."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from regraft.advice.similarity import Similarity
from regraft.advice.size import Size
from regraft.plan import Quadrant

SURE = 0.9  # of a cell: below it the advice says that it is none


@dataclass(frozen=True)
class Thresholds:
    """Where the table's lines are drawn."""

    similar_from: float  # the share of the random trunk's errors that the pretrained removes
    small_gain: float  # accuracy that twice the images bring in a small data set
    small_per_class: float  # images per class of a small data set, where no curve can be measured


@dataclass(frozen=True)
class Placement:
    """The probabilities of both answers; `similar` is None where it cannot be measured."""

    similar: float | None
    small: float

    @property
    def cells(self) -> dict[Quadrant, float]:
        """The probability of each cell; {} if similarity is not known.

        >>> Placement(similar=0.75, small=0.5).cells["small_similar"]
        0.375
        """
        if self.similar is None:
            return {}
        near, far, few, many = self.similar, 1 - self.similar, self.small, 1 - self.small
        return {
            "small_similar": few * near,
            "big_similar": many * near,
            "small_dissimilar": few * far,
            "big_dissimilar": many * far,
        }

    @property
    def quadrant(self) -> Quadrant | None:
        """The likeliest cell, None if similarity is not known."""
        return max(self.cells, key=self.cells.__getitem__, default=None)

    @property
    def is_small(self) -> bool:
        return self.small >= 0.5

    @property
    def is_similar(self) -> bool:
        """False also where it is not known: nothing is known that could be of use."""
        return self.similar is not None and self.similar >= 0.5

    @property
    def is_sure(self) -> bool:
        """Whether the likeliest cell is nearly certain."""
        return self.quadrant is not None and self.cells[self.quadrant] >= SURE

    def as_dict(self) -> dict[str, Any]:
        """Plain data for advice.json."""
        return {
            "quadrant": self.quadrant,
            "sure": self.is_sure,
            "p_similar": self.similar,
            "p_small": self.small,
            "cells": self.cells,
        }


def place(similarity: Similarity | None, size: Size, lines: Thresholds) -> Placement:
    """Put a data set into the table by the resampled evidence."""
    similar = None
    if similarity is not None:
        similar = float(np.mean(similarity.draws >= lines.similar_from))
    if size.gain is None:
        small = float(size.per_class < lines.small_per_class)
    else:
        small = float(np.mean(size.draws >= lines.small_gain))
    return Placement(similar, small)
