"""A second opinion on similarity that needs no labels: how far the images' features lie from those
of the source domain.

The Fréchet distance of two Gaussians (Dowson and Landau 1982; of features, Heusel et al. 2017),
with Ledoit and Wolf's shrinkage of the covariance, since there may be fewer images than features.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.covariance import ledoit_wolf

NULLS = 5  # times as many rows are drawn from a Gaussian like the source's, as a yardstick


@dataclass(frozen=True)
class Reference:
    """Mean (D,) and covariance (D, D) of the pooled features of the source domain's images."""

    mean: np.ndarray
    covariance: np.ndarray
    images: int


@dataclass(frozen=True)
class Distance:
    """Squared Fréchet distances, relative to the total variance of the source's features."""

    relative: float
    of_source: float  # of as many draws from a Gaussian like the source's
    images: int  # of the source

    @property
    def excess(self) -> float:
        """How much farther the images lie than as many draws like the source's."""
        return self.relative - self.of_source

    def as_dict(self) -> dict[str, Any]:
        """Plain data for advice.json."""
        return {**vars(self), "excess": self.excess}


def reference(features: np.ndarray) -> Reference:
    """The statistics of features (N, D)."""
    covariance, _ = ledoit_wolf(features.astype(np.float64))
    return Reference(features.mean(0, dtype=np.float64), covariance, len(features))


def distance(source: Reference, features: np.ndarray) -> Distance:
    """How far features (N, D) lie from the source's, and how far as many draws like its own do."""
    rng = np.random.default_rng(0)
    own = [
        rng.multivariate_normal(source.mean, source.covariance, len(features), method="cholesky")
        for _ in range(NULLS)
    ]
    spread, root = float(np.trace(source.covariance)), _root(source.covariance)
    null = np.mean([_squared(source, root, reference(rows)) for rows in own]) / spread
    relative = _squared(source, root, reference(features)) / spread
    return Distance(relative, float(null), source.images)


def _squared(one: Reference, root: np.ndarray, other: Reference) -> float:
    """The squared distance; `root` is the square root of the first covariance."""
    cross = np.sqrt(np.clip(np.linalg.eigvalsh(root @ other.covariance @ root), 0, None)).sum()
    apart = one.mean - other.mean
    traces = np.trace(one.covariance) + np.trace(other.covariance) - 2 * cross
    return max(0.0, float(apart @ apart + traces))


def _root(covariance: np.ndarray) -> np.ndarray:
    values, vectors = np.linalg.eigh(covariance)
    return (vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T
