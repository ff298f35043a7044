"""The combination that does best on the validation images, and what it is worth and costs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from regraft import calibration
from regraft.ensemble.combine import METHODS, Score, mixture, score
from regraft.ensemble.members import Member, Members
from regraft.errors import RegraftError, did_you_mean
from regraft.statistics import LEVEL, Answers, Scores, mcnemar, paired, wilson

ALL = "all"  # methods, of which the best is chosen
COSTS = ("params_total", "fit_s")
NOTHING = 1e-3  # nats per image, for which nobody runs a second network


@dataclass(frozen=True, eq=False)
class Combination:
    """Members with weights (M,), by a method, and what that gives on each split."""

    method: str
    weights: np.ndarray
    mixed: Mapping[str, np.ndarray]  # probabilities float64 (N, C), rows with the sum 1
    scores: Mapping[str, Score]

    @property
    def used(self) -> list[int]:
        """Members that count at all: each is a forward pass for every image."""
        return [int(index) for index in np.flatnonzero(self.weights)]

    @property
    def shares(self) -> np.ndarray:
        """The weights with the sum 1."""
        shares: np.ndarray = self.weights / self.weights.sum()
        return shares


@dataclass(frozen=True)
class Difference:
    """How much better one is than another on the test images: accuracy with its 95 % interval, the
    images that only one of them got right, and McNemar's exact p."""

    acc: float
    interval: tuple[float, float]
    only_first: int
    only_second: int
    p: float

    @property
    def proven(self) -> bool:
        """Whether the first is better at the 5 % level."""
        return self.acc > 0 and self.p < 1 - LEVEL

    @property
    def words(self) -> str:
        low, high = self.interval
        points = f"{100 * self.acc:+.1f} points ({100 * low:+.1f} to {100 * high:+.1f}"
        told = "" if self.p < 1 - LEVEL else ": cannot be told apart"
        p = "p < 0.001" if self.p < 0.001 else f"p = {self.p:.3f}"
        return f"{points}; McNemar {p}){told}"


@dataclass(frozen=True, eq=False)
class Ensemble:
    """What was tried, in the order of the methods, and what was chosen."""

    members: Members
    tried: tuple[Combination, ...]
    soup: Combination | None = None  # of the members' weights: it does not compete

    @property
    def rows(self) -> tuple[Combination, ...]:
        return (*self.tried, *([self.soup] if self.soup else []))

    @property
    def best(self) -> Combination:
        """The best member alone."""
        return self.tried[0]

    @cached_property
    def chosen(self) -> Combination:
        """What is best on the validation images, never worse than the best member alone.

        Of equals the first, which is cheaper; so are losses that differ by less than NOTHING.
        """
        highest = max(one.scores["val"].acc for one in self.tried)
        rivals = [one for one in self.tried if one.scores["val"].acc == highest]
        least = min(one.scores["val"].loss for one in rivals)
        return next(one for one in rivals if one.scores["val"].loss < least + NOTHING)

    @property
    def pays(self) -> bool:
        """Whether more than one member is chosen."""
        return len(self.chosen.used) > 1

    def without(self, index: int) -> Score | None:
        """How good what is chosen were on the validation images without a member, the others'
        weights in proportion; None if there is no other."""
        weights = self.chosen.weights.copy()
        weights[index] = 0
        if not weights.any():
            return None
        labels = self.members.labels["val"]
        return score(mixture(self.members.of("val"), weights), labels)

    def cost(self, combination: Combination) -> dict[str, float | None]:
        """Parameters, seconds of training and forward passes per image of the members that are
        used; None where a run does not say."""
        runs = [self.members.runs[index] for index in combination.used]
        costs = {key: _sum([run.job.cost.get(key) for run in runs]) for key in COSTS}
        if combination is self.soup:  # all of them are trained, and one network is used
            return {**costs, "params_total": _sum([runs[0].job.cost.get(COSTS[0])]), "passes": 1.0}
        return {**costs, "passes": float(len(runs))}

    def difference(self, combination: Combination) -> Difference:
        """How much better a combination is than the best member alone, on the test images."""
        mine, best = combination.mixed["test"], self.best.mixed["test"]
        return differ(mine, best, self.members.labels["test"])


def combine(members: Members, method: str) -> Ensemble:
    """The members combined by a method, or by ALL of them, beside the best member alone.

    Weights and choices see the validation images only. Raises RegraftError for an unknown method.
    """
    names = [*(name for name in METHODS if name != "best"), ALL]
    if method not in names:
        hint = did_you_mean(method, names) or f"; there are {', '.join(names)}"
        raise RegraftError(f"--method {method}: no such method{hint}")
    tried = METHODS if method == ALL else dict.fromkeys(["best", method])
    return Ensemble(members, tuple(_combination(members, name) for name in tried))


def _combination(members: Members, method: str) -> Combination:
    weights = METHODS[method](members.of("val"), members.labels["val"])
    mixed, scores = {}, {}
    for split, labels in members.labels.items():
        total = mixture(members.of(split), weights)
        scores[split] = score(total, labels)  # of the sum, where ties are exact
        mixed[split] = total / total.sum(1, keepdims=True)
    return Combination(method, weights, mixed, scores)


def differ(first: np.ndarray, second: np.ndarray, labels: np.ndarray) -> Difference:
    """How much better the first of two probabilities (N, C) of the same images is."""
    right = [probabilities.argmax(1) == labels for probabilities in (first, second)]
    only = int((right[0] & ~right[1]).sum()), int((right[1] & ~right[0]).sum())
    scores = [
        Scores("", {(-1, 0): float(one.mean())}, len(one), {(-1, 0): Answers("", one)})
        for one in right
    ]
    low, high = paired(*scores) or (-1.0, 1.0)
    return Difference((only[0] - only[1]) / len(labels), (low, high), *only, mcnemar(*only))


def interval(acc: float, labels: np.ndarray) -> tuple[float, float]:
    """95 %, over the images (Wilson 1927)."""
    return wilson(acc, len(labels))


def ece(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """The expected calibration error of probabilities (N, C)."""
    right = probabilities.argmax(1) == labels
    return calibration.error(calibration.bins(probabilities.max(1), right))


def alone(members: Members, run: Member, split: str) -> Score:
    """How good a member is by itself."""
    return score(run.said[split], members.labels[split])


def _sum(values: Sequence[object]) -> float | None:
    numbers = [float(value) for value in values if isinstance(value, int | float)]
    return sum(numbers) if len(numbers) == len(values) else None
