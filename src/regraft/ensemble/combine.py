"""Ways to combine what members say of the same images, chosen by how they do on these images.

Members are probabilities (N, C), of which a row may have any sum; labels are int (N,). Weights are
float (M,), at least 0, of any sum: how often each member counts, so that of members in whole units
(`predictions.Said`) whole numbers make sums without rounding, and ties are ties.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize

from regraft.predictions import UNIT

STEPS = 50  # of the greedy selection: no weight is finer than a fiftieth
LEAST = 1e-3  # a fitted weight below it changes nothing, and costs a network
FLOOR = UNIT / 2  # of a probability: one sure mistake is not to outweigh all other images


class Score(NamedTuple):
    """How good a combination is: accuracy and mean log loss, in nats."""

    acc: float
    loss: float

    @property
    def rank(self) -> tuple[float, float]:
        """More is better; losses that differ by rounding are the same."""
        return self.acc, -round(self.loss, 9)


def score(probabilities: np.ndarray, labels: np.ndarray) -> Score:
    """Accuracy and log loss; the first of the most probable classes is the prediction."""
    acc = float((probabilities.argmax(1) == labels).mean())
    return Score(acc, float(-np.log(of_true(probabilities, labels)).mean()))


def of_true(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The probability (N,) of each image's true class, at least FLOOR."""
    sums = probabilities.sum(1, dtype=np.float64)
    share: np.ndarray = probabilities[np.arange(len(labels)), labels] / sums
    return np.maximum(share, FLOOR)


def mixture(members: Sequence[np.ndarray], weights: np.ndarray) -> np.ndarray:
    """The weighted sum of the members' probabilities, float64 (N, C)."""
    total = np.zeros(members[0].shape)
    for probabilities, weight in zip(members, weights, strict=True):
        if weight:
            total += weight * probabilities.astype(np.float64)
    return total


def best(members: Sequence[np.ndarray], labels: np.ndarray) -> np.ndarray:
    """The best member alone, the first of equals."""
    return greedy(members, labels, steps=1)


def mean(members: Sequence[np.ndarray], labels: np.ndarray) -> np.ndarray:
    """All members alike: nothing is chosen."""
    return np.ones(len(members))


def weighted(members: Sequence[np.ndarray], labels: np.ndarray) -> np.ndarray:
    """The weights of the least log loss, a convex problem (stacking; Breiman 1996)."""
    shares = np.stack([of_true(probabilities, labels) for probabilities in members])

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        mixed = weights @ shares
        return float(-np.log(mixed).mean()), -(shares / mixed).mean(1)

    found = minimize(
        loss,
        mean(members, labels) / len(members),
        jac=True,
        method="SLSQP",
        bounds=[(0, 1)] * len(members),
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1, "jac": np.ones_like},
        options={"ftol": 1e-10, "maxiter": 1000},
    )
    kept: np.ndarray = np.where(found.x < LEAST, 0.0, found.x)
    return kept


def greedy(members: Sequence[np.ndarray], labels: np.ndarray, *, steps: int = STEPS) -> np.ndarray:
    """Forward selection with replacement (Caruana et al. 2004): in each step the member joins with
    which the sum does best, by accuracy, then by log loss; what was best on the way is kept, the
    first of equals."""
    total, counts = np.zeros(members[0].shape), np.zeros(len(members))
    found = (-1.0, 0.0), counts
    for _ in range(steps):
        ranks = [score(total + probabilities, labels).rank for probabilities in members]
        chosen = max(range(len(members)), key=ranks.__getitem__)
        total += members[chosen]
        counts = counts.copy()
        counts[chosen] += 1
        if ranks[chosen] > found[0]:
            found = ranks[chosen], counts
    return found[1]


# In the order in which the first of equals is chosen: the cheaper ones first.
METHODS: dict[str, Callable[[Sequence[np.ndarray], np.ndarray], np.ndarray]] = {
    "best": best,
    "greedy": greedy,
    "weighted": weighted,
    "mean": mean,
}
