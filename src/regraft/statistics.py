"""Intervals for an accuracy, and which of several strategies won: over seeds where there are
seeds, and never more certain than the test images allow. `benchmarks/power.py` measures how often
a verdict is wrong, and which lead is found."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from scipy import special, stats

LEVEL = 0.95
Repeat = tuple[int, int]  # fold (-1: none) and seed of one of several runs of the same setting


@dataclass(frozen=True)
class Answers:
    """Which test images one run got right (`correct`, bool (n,)), in the order that `images`
    stands for: two runs with equal `images` were asked about the same images with the same true
    classes."""

    images: str
    correct: np.ndarray


@dataclass(frozen=True)
class Scores:
    """One contender's test accuracy in each repetition, the number of test images (those of all
    folds together), and its answers where known."""

    name: str
    acc: Mapping[Repeat, float]
    images: int | None
    answers: Mapping[Repeat, Answers] = field(default_factory=dict)

    @property
    def mean(self) -> float:
        return math.fsum(self.acc.values()) / len(self.acc)

    def same_answers(self, other: "Scores") -> bool:
        """Whether both are known to have got the same images right, with every seed."""
        return (
            self.acc == other.acc
            and self.answers.keys() == other.answers.keys() == self.acc.keys()
            and all(
                mine.images == other.answers[seed].images
                and np.array_equal(mine.correct, other.answers[seed].correct)
                for seed, mine in self.answers.items()
            )
        )


@dataclass(frozen=True)
class Luck:
    """The variance of an accuracy over repetitions that is a contender's own, not that of a seed
    which is good for all, and its degrees of freedom."""

    variance: float
    freedom: float


@dataclass(frozen=True)
class Doubt:
    """The variance of a difference of two mean accuracies: what shows over the seeds, with its
    degrees of freedom, and what the test images add, which all seeds share."""

    seeds: float
    freedom: float
    images: float

    def p(self, difference: float) -> float:
        """The larger two-sided p of the seeds alone, and of seeds and images together.

        As radiologists (here seeds) who read the same cases (images) are compared: crossed random
        effects (Dorfman, Berbaum and Metz 1992), degrees of freedom after Hillis (2007). These are
        too many where a few seeds agree by chance, hence the first test.
        """
        whole = self.seeds + self.images
        freedom = self.freedom * (whole / self.seeds) ** 2 if self.seeds else math.inf
        return max(
            t_test(difference, self.seeds, self.freedom) if self.seeds or not whole else 0.0,
            t_test(difference, whole, freedom),
        )


@dataclass(frozen=True)
class Comparison:
    """How far one contender lies behind the best (accuracy, paired by seed), and its corrected p;
    what it were without the doubt that the seeds were lucky; and the doubt, None where neither
    seeds nor images say anything."""

    behind: float
    p: float
    images_p: float = 1.0
    doubt: Doubt | None = None


@dataclass(frozen=True)
class Verdict:
    """The best by mean, the winners (the best alone, or all that tie with it), and the others
    compared to it."""

    best: str
    winners: tuple[str, ...]
    comparisons: Mapping[str, Comparison]


def wilson(acc: float, images: int) -> tuple[float, float]:
    """The 95 % score interval of a proportion over `images` test images (Wilson 1927)."""
    z2 = float(stats.norm.ppf((1 + LEVEL) / 2)) ** 2
    centre = (acc + z2 / (2 * images)) / (1 + z2 / images)
    half = math.sqrt(z2 * (acc * (1 - acc) / images + z2 / (4 * images**2))) / (1 + z2 / images)
    return max(0.0, min(acc, centre - half)), min(1.0, max(acc, centre + half))


def by_repetition(values: Mapping[Repeat, float]) -> dict[int, float]:
    """A value per seed; where there are several folds the mean of each.

    Seeds of one fold share their training and test images: counted as so many repetitions, five
    folds with three seeds would call a quarter of equal contenders different.
    """
    folds: dict[int, list[float]] = {}
    for (fold, _), value in values.items():
        folds.setdefault(fold, []).append(value)
    if len(folds) == 1:
        return {seed: value for (_, seed), value in values.items()}
    return {fold: math.fsum(of_one) / len(of_one) for fold, of_one in folds.items()}


def over_seeds(accs: Sequence[float]) -> tuple[float, float]:
    """The 95 % t interval of the mean of at least two seeds (Student 1908), cut to [0, 1]."""
    mean, half = float(np.mean(accs)), 0.0
    if (deviation := float(np.std(accs, ddof=1))) > 0:
        t = float(stats.t.ppf((1 + LEVEL) / 2, len(accs) - 1))
        half = t * deviation / math.sqrt(len(accs))
    return max(0.0, mean - half), min(1.0, mean + half)


def interval(scores: Scores) -> tuple[float, float] | None:
    """The 95 % interval of the mean accuracy: over the seeds, and at least as wide as over the
    test images (seeds that agree by chance are no proof); with one seed over the test images
    only; None if neither."""
    bounds = []
    if len(values := by_repetition(scores.acc)) > 1:
        bounds.append(over_seeds([*values.values()]))
    if scores.images:
        bounds.append(wilson(scores.mean, scores.images))
    return (min(low for low, _ in bounds), max(high for _, high in bounds)) if bounds else None


def t_test(difference: float, variance: float, freedom: float) -> float:
    """The two-sided p of a difference whose variance is estimated with so many degrees of freedom
    (Student 1908); without any variance 0, or 1 for no difference."""
    if variance < 1e-24:
        return 1.0 if abs(difference) < 1e-12 else 0.0
    return float(2 * stats.t.sf(abs(difference) / math.sqrt(variance), freedom))


def paired_t(differences: Sequence[float]) -> float:
    """The two-sided p of a paired t test; differences that are all the same give 0, or 1 if they
    are 0."""
    return t_test(float(np.mean(differences)), *scatter(differences, None))


def scatter(differences: Sequence[float], luck: Luck | None) -> tuple[float, float]:
    """The variance of the mean of paired differences, with its degrees of freedom; with the `luck`
    of all contenders theirs, as three seeds of two of them tell next to nothing."""
    if luck:
        return 2 * luck.variance / len(differences), luck.freedom
    return float(np.var(differences, ddof=1)) / len(differences), len(differences) - 1


def mcnemar(only_first: int, only_second: int) -> float:
    """The exact two-sided p that two classifiers are equally good, from the images that only one
    of them got right (McNemar 1947; exact form as recommended by Dietterich 1998 for one test
    set)."""
    discordant = only_first + only_second
    return min(1.0, 2 * float(special.bdtr(min(only_first, only_second), discordant, 0.5)))


def two_proportions(first: float, n_first: int, second: float, n_second: int) -> float:
    """The two-sided p of the pooled z test of two accuracies on test images that cannot be
    paired."""
    variance = _pooled_variance(first, second, n_first, n_second)
    if variance <= 0:
        return 1.0
    return float(2 * stats.norm.sf(abs(first - second) / math.sqrt(variance)))


def _pooled_variance(first: float, second: float, n_first: int, n_second: int) -> float:
    """The variance of the difference of two proportions, if both are the same."""
    pooled = (first * n_first + second * n_second) / (n_first + n_second)
    return pooled * (1 - pooled) * (1 / n_first + 1 / n_second)


def holm(ps: Sequence[float], *, first: int | None = None) -> list[float]:
    """P values corrected for being looked at together (Holm 1979), in the order given.

    The smallest one is corrected as one of `first`, where that is more than there are.
    """
    corrected, floor = [0.0] * len(ps), 0.0
    for rank, index in enumerate(sorted(range(len(ps)), key=lambda i: ps[i])):
        among = first if first and not rank else len(ps) - rank
        floor = max(floor, min(1.0, among * ps[index]))
        corrected[index] = floor
    return corrected


def by_image(first: Scores, second: Scores, repeats: Sequence[Repeat]) -> list[np.ndarray] | None:
    """For each set of test images, which of two contenders alone was right: 1 the first, -1 the
    second, else 0, of shape (repetitions that were asked about it, images).

    None if the answers of a repetition cannot be paired.
    """
    parts: dict[str, list[np.ndarray]] = {}
    for repeat in repeats:
        a, b = first.answers.get(repeat), second.answers.get(repeat)
        if not a or not b or a.images != b.images:
            return None
        parts.setdefault(a.images, []).append(a.correct.astype(np.int8) - b.correct)
    return [np.stack(part) for part in parts.values()] or None


def over_images(first: Scores, second: Scores, repeats: Sequence[Repeat]) -> float | None:
    """The p of a difference over the test images alone: McNemar on each image's worth of counts
    (the mean over the `repeats` that were asked about it, summed over folds) when both runs'
    answers are known, else two proportions; None when the images are not counted."""
    if parts := by_image(first, second, repeats):
        only = [sum((part == who).sum(axis=1).mean() for part in parts) for who in (1, -1)]
        return mcnemar(*map(round, only))
    if first.images and second.images:
        return two_proportions(first.mean, first.images, second.mean, second.images)
    return None


def doubt_of(
    first: Scores, second: Scores, repeats: Sequence[Repeat], luck: Luck | None
) -> Doubt | None:
    """How uncertain the difference of two contenders over these repetitions is.

    Where all repetitions have the same test images, what single images do in single repetitions
    shows in both variances, and is counted once. Where each has its own, as in folds or with
    splits that are drawn anew, the seeds' variance has that of the images in it.
    """
    repetitions = [*by_repetition({r: first.acc[r] - second.acc[r] for r in repeats}).values()]
    seeds, freedom = 0.0, math.inf
    if repetitions and (luck or len(repetitions) > 1):
        seeds, freedom = scatter(repetitions, luck)
    if parts := by_image(first, second, repeats):
        # One more image for each of them, so that few images are no certainty (see `paired`).
        more = np.array([1.0, -1.0]) / math.sqrt(len(parts[0]))
        each = np.concatenate([*(part.mean(axis=0) for part in parts), more])
        images = float(each.var()) / len(each)
        in_both = _in_both(parts[0]) if len(parts) == 1 else seeds
        return Doubt(max(seeds, in_both), freedom, max(images - in_both, 0.0))
    if first.images and second.images:
        counts = first.images, second.images
        return Doubt(seeds, freedom, _pooled_variance(first.mean, second.mean, *counts))
    return Doubt(seeds, freedom, 0.0) if seeds else None


def _in_both(part: np.ndarray) -> float:
    """What of the variance of a mean over (repetitions, images) is that of single answers."""
    repetitions, images = part.shape
    if min(part.shape) < 2:
        return 0.0
    alone = part - part.mean(axis=0) - part.mean(axis=1, keepdims=True) + part.mean()
    return float((alone**2).sum()) / ((repetitions - 1) * (images - 1)) / part.size


def luck_of(contenders: Sequence[Scores]) -> Luck | None:
    """How much the accuracies of all contenders scatter over repetitions, after the means of each
    contender and of each repetition (two-way analysis of variance); None for one repetition.

    Runs may be missing: it is a fit by least squares.
    """
    made = [by_repetition(scores.acc) for scores in contenders]
    columns = sorted({repetition for one in made for repetition in one})
    places = [(i, columns.index(r), acc) for i, one in enumerate(made) for r, acc in one.items()]
    effects = np.zeros((len(places), len(made) + len(columns)))
    for row, (contender, repetition, _) in zip(effects, places, strict=True):
        row[[contender, len(made) + repetition]] = 1
    accs = np.array([acc for *_, acc in places])
    fitted, _, rank, _ = np.linalg.lstsq(effects, accs, rcond=None)
    if (freedom := len(accs) - int(rank)) < 1:
        return None
    return Luck(float(((accs - effects @ fitted) ** 2).sum()) / freedom, freedom)


def compare(best: Scores, other: Scores, luck: Luck | None = None) -> Comparison:
    """The difference of two contenders over the repetitions they share, with the p of both doubts:
    that the seeds were lucky, as far as several seeds or the `luck` of all contenders tell, and
    that the test images were (so no spread over seeds is no certainty)."""
    shared = sorted(best.acc.keys() & other.acc.keys())
    images = over_images(best, other, shared)
    doubt = doubt_of(best, other, shared, luck)
    behind = best.mean - other.mean
    if shared:
        behind = math.fsum(best.acc[seed] - other.acc[seed] for seed in shared) / len(shared)
    images_p = 1.0 if images is None else images
    p = doubt.p(behind) if doubt and doubt.freedom < math.inf else images_p
    return Comparison(behind, p, images_p, doubt)


def paired(first: Scores, second: Scores) -> tuple[float, float] | None:
    """The 95 % interval of how much better the first is: over the test images that both were asked
    about, with each seed's answers averaged, and with several seeds at least as wide as over them.

    One image is added to each kind of disagreement, so that few images, or none on which they
    differ, are no certainty (Bonett and Price 2012). None if the answers cannot be paired.
    """
    repeats = sorted(first.acc.keys() & second.acc.keys())
    if not (parts := by_image(first, second, repeats)):
        return None
    each = np.concatenate([*(part.mean(axis=0) for part in parts), [1.0, -1.0]])
    n, z = len(each), float(stats.norm.ppf((1 + LEVEL) / 2))
    middle, half = float(each.mean()), z * float(each.std()) / math.sqrt(n)
    low, high = middle - half, middle + half
    differences = [*by_repetition({r: first.acc[r] - second.acc[r] for r in repeats}).values()]
    if len(differences) > 1:
        t = float(stats.t.ppf((1 + LEVEL) / 2, len(differences) - 1))
        mean = float(np.mean(differences))
        half = t * float(np.std(differences, ddof=1)) / math.sqrt(len(differences))
        low, high = min(low, mean - half), max(high, mean + half)
    return max(-1.0, low), min(1.0, high)


def judge(contenders: Sequence[Scores]) -> Verdict:
    """Winner or tie: the best mean wins if it is better than every other one at 5 %; otherwise it
    ties with those it cannot be told apart from.

    Which one is the best is seen on the same test images. So whoever loses must do so among all
    pairs (Holm): of seven equal contenders, one in ten sweeps would have a loser otherwise, where
    5 % are meant. That the best wins needs no correction, as it must beat every single one: two
    equal ones that lead the others are the worst case, and between them there is one comparison
    (Gutmann and Maymin 1987; Hung and Fithian 2019). With one seed nothing tells how lucky it was,
    and the correction stays.
    """
    best = max(contenders, key=lambda scores: scores.mean)
    others = [scores for scores in contenders if scores is not best]
    luck = luck_of(contenders)
    raw = [compare(best, other, luck) for other in others]
    pairs = math.comb(len(contenders), 2)
    corrected = holm([comparison.p for comparison in raw], first=pairs)
    beaten = max((comparison.p for comparison in raw), default=1.0) if luck else 1.0
    comparisons = {
        other.name: replace(comparison, p=min(p, beaten))
        for other, comparison, p in zip(others, raw, corrected, strict=True)
    }
    tied = {name for name, c in comparisons.items() if c.p >= 1 - LEVEL or c.behind <= 0}
    winners = tuple(s.name for s in contenders if s is best or s.name in tied)
    return Verdict(best.name, winners, comparisons)
