"""How much frozen features know of the classes: a probe, neighbours, and two scores without
training.

The probe decides; the scores are columns beside it. Over studies none of them is robust
(Agostinelli et al. 2022; Renggli et al. 2022), and none knows what fine-tuning would add.
Everywhere features are float (N, D) and labels int (N,), 0 to C - 1.
"""

import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize_scalar
from sklearn.covariance import ledoit_wolf
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from regraft.data import subset
from regraft.errors import RegraftError
from regraft.statistics import wilson

FOLDS, INNER_FOLDS = 5, 3  # that judge, and that choose the penalty: powers of ten are far apart
PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)  # C of the logistic regression, on standardised features
CHOSEN_ON = 1000  # images, of which the penalty is chosen: more change it little
STEPS = 1000  # of L-BFGS
NEIGHBOURS = 5
_BLOCK = 1024


@dataclass(frozen=True)
class Probe:
    """Accuracy on held-out images: each was judged once, by a model that had not seen it."""

    right: np.ndarray  # (N,) bool

    @property
    def acc(self) -> float:
        return float(self.right.mean())

    @property
    def interval(self) -> tuple[float, float]:
        """95 %, over the images (Wilson)."""
        return wilson(self.acc, len(self.right))


def majority(labels: np.ndarray) -> float:
    """The accuracy of always answering the most frequent class."""
    return float(np.bincount(labels).max() / len(labels))


def linear(features: np.ndarray, labels: np.ndarray, *, seed: int = 0) -> Probe:
    """Cross-validated logistic regression; each fold's penalty is chosen without the images that
    it is judged on, by a cross-validation inside (nested: Varma and Simon 2006).

    Raises RegraftError for features that are constant or not finite, or a class of one image.
    """
    check(features, labels)
    right = np.zeros(len(labels), dtype=bool)
    for train, test in _folds(labels, FOLDS, seed):
        penalty = best_penalty(features[train], labels[train], seed)
        model = fit_linear(features[train], labels[train], penalty)
        right[test] = model.predict(features[test]) == labels[test]
    return Probe(right)


def fit_linear(features: np.ndarray, labels: np.ndarray, penalty: float) -> Pipeline:
    """Logistic regression on standardised features.

    Raises RegraftError if it does not converge.
    """
    model = make_pipeline(StandardScaler(), LogisticRegression(C=penalty, max_iter=STEPS))
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        try:
            return model.fit(features, labels)
        except ConvergenceWarning as error:
            raise RegraftError(
                f"the linear probe did not converge in {STEPS} steps: features of "
                f"{float(np.abs(features).max()):.3g} at most; are the weights damaged?"
            ) from error


def neighbours(features: np.ndarray, labels: np.ndarray, *, k: int = NEIGHBOURS) -> Probe:
    """The class that most of the `k` nearest images have, by cosine; a tie goes to the nearer.

    Leave-one-out: no image is its own neighbour.
    """
    check(features, labels)
    k = min(k, len(labels) - 1)
    guesses = _vote(features, features, labels, k, leave_out=True)
    return Probe(guesses == labels)


def nearest(
    train: np.ndarray,
    labels: np.ndarray,
    test: np.ndarray,
    truth: np.ndarray,
    *,
    k: int = NEIGHBOURS,
) -> float:
    """The accuracy on other images of the class that most of the `k` nearest have, by cosine."""
    check(train, labels)
    guesses = _vote(test, train, labels, min(k, len(labels)), leave_out=False)
    return float(np.mean(guesses == truth))


def _vote(
    asked: np.ndarray, known: np.ndarray, labels: np.ndarray, k: int, *, leave_out: bool
) -> np.ndarray:
    """The class of each asked row, (N,); with `leave_out` row i is not asked about itself."""
    # In double precision: that of a tie's nearer image is a difference of 1e-6.
    asked, known = (rows.astype(np.float64) for rows in (asked, known))
    asked, known = (rows / np.maximum(_lengths(rows), 1e-12) for rows in (asked, known))
    guesses = np.empty(len(asked), dtype=np.int64)
    for start in range(0, len(asked), _BLOCK):
        rows = np.arange(start, min(start + _BLOCK, len(asked)))
        near = asked[rows] @ known.T
        if leave_out:
            near[np.arange(len(rows)), rows] = -np.inf
        closest = np.argpartition(-near, k - 1, axis=1)[:, :k]
        votes = np.zeros((len(rows), labels.max() + 1))
        weights = 1 + 1e-6 * np.take_along_axis(near, closest, axis=1)
        np.add.at(votes, (np.arange(len(rows))[:, None], labels[closest]), weights)
        guesses[rows] = votes.argmax(1)
    return guesses


def _lengths(rows: np.ndarray) -> np.ndarray:
    return np.linalg.norm(rows, axis=1, keepdims=True)


def logme(features: np.ndarray, labels: np.ndarray) -> float:
    """The mean log evidence, per image, of a Bayesian linear model of each class (You et al. 2021).

    The published code drops a term for n < d (LogME #23). Here it cancels: for a ratio
    t = alpha / beta of the precisions, the evidence is at its largest for beta = n / R(t), and then
        n/2 ln(beta / 2 pi e) - 1/2 sum ln(1 + s_i^2 / t),
    with s_i the singular values, z_i the target y along them, and
        R(t) = |y|^2 - sum z_i^2 s_i^2 / (s_i^2 + t);
    so t alone is searched.
    """
    check(features, labels)
    features = features.astype(np.float64)
    u, s, _ = np.linalg.svd(features, full_matrices=False)
    power = s[s > s[0] * 1e-10] ** 2
    # A class's target is 1 for its images and 0 for the others.
    along = _sums(u[:, : len(power)], labels) ** 2
    images = np.bincount(labels).tolist()
    return float(
        np.mean([_evidence(power, z, n, len(labels)) for z, n in zip(along, images, strict=True)])
    )


def _evidence(power: np.ndarray, along: np.ndarray, length: float, n: int) -> float:
    """The largest log evidence per image of one target."""

    def negative(log_t: float) -> float:
        t = math.exp(log_t)
        rest = max(length - float((along * power / (power + t)).sum()), 1e-12 * length)
        return -0.5 * (
            n * (math.log(n / rest / (2 * math.pi)) - 1) - float(np.log1p(power / t).sum())
        )

    grid = np.linspace(math.log(power[-1]) - 12, math.log(power[0]) + 12, 60)
    best = int(np.argmin([negative(x) for x in grid]))
    around = grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)]
    return -float(minimize_scalar(negative, bounds=around, method="bounded").fun) / n


def hscore(features: np.ndarray, labels: np.ndarray) -> float:
    """How much of the features' spread lies between classes, the covariance shrunk.

    With Ledoit and Wolf's shrinkage a, (1 - a) tr(S_a^-1 S_between): steady for n < d too (Ibrahim
    et al. 2021).
    """
    check(features, labels)
    centred = features.astype(np.float64) - features.mean(0, dtype=np.float64)
    covariance, shrinkage = ledoit_wolf(centred, assume_centered=True)
    counts = np.bincount(labels)
    sums = _sums(centred, labels)
    between = sums.T @ (sums / np.maximum(counts, 1)[:, None]) / len(labels)
    return float((1 - shrinkage) * np.trace(np.linalg.solve(covariance, between)))


def _sums(rows: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The sum of each class's rows (N, D), (C, D)."""
    sums = np.zeros((labels.max() + 1, rows.shape[1]))
    np.add.at(sums, labels, rows)
    return sums


def check(features: np.ndarray, labels: np.ndarray) -> None:
    """Raises RegraftError for features that say nothing and labels that cannot be judged."""
    if not np.isfinite(features).all():
        bad = int((~np.isfinite(features)).any(1).sum())
        raise RegraftError(f"features of {bad} of {len(features)} images are not finite; {WEIGHTS}")
    if (features == features[0]).all():
        raise RegraftError(f"the features of all images are the same; {WEIGHTS}")
    check_labels(labels)


def check_labels(labels: np.ndarray) -> None:
    """Raises RegraftError for fewer than two classes, or a class of one image."""
    counts = np.bincount(labels)
    if (counts > 0).sum() < 2:
        raise RegraftError("a probe needs images of at least two classes")
    if counts[counts > 0].min() < 2:
        raise RegraftError(
            "a probe needs at least 2 training images of every class: add some, raise "
            "data.per_class, or leave out the class that has fewer"
        )


WEIGHTS = "are the weights damaged, or of another input?"


def _folds(labels: np.ndarray, most: int, seed: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    counts = np.bincount(labels)
    folds = min(most, int(counts[counts > 0].min()))
    splitter = StratifiedKFold(folds, shuffle=True, random_state=seed)
    yield from splitter.split(np.zeros(len(labels)), labels)


def best_penalty(features: np.ndarray, labels: np.ndarray, seed: int) -> float:
    """The best of PENALTIES by cross-validation, on some of the images if there are many.

    A class of one image is left out, as nothing can be held back of it; where fewer than two are
    left there is no choice, and it is the middle one.
    """
    order = subset.some(labels, CHOSEN_ON)
    order = order[np.bincount(labels[order])[labels[order]] > 1]
    some, of = features[order], labels[order]
    if len(np.unique(of)) < 2:
        return PENALTIES[len(PENALTIES) // 2]
    folds = list(_folds(of, INNER_FOLDS, seed))

    def acc(penalty: float) -> float:
        models = ((fit_linear(some[a], of[a], penalty), b) for a, b in folds)
        return float(np.mean([model.score(some[b], of[b]) for model, b in models]))

    return max(PENALTIES, key=acc)
