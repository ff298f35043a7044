"""Intervals for an accuracy, and which of several strategies won: over seeds where there are
seeds, and never more certain than the test images allow."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy import stats

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
class Comparison:
    """How far one contender lies behind the best (accuracy, paired by seed), and its Holm-
    corrected p; and what it were without the doubt that the seeds were lucky."""

    behind: float
    p: float
    images_p: float = 1.0


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


def independent(values: Mapping[Repeat, float]) -> list[float]:
    """A value per seed; where there are several folds the mean of each.

    Seeds of one fold share their training and test images: counted as so many repetitions, five
    folds with three seeds would call a quarter of equal contenders different.
    """
    folds: dict[int, list[float]] = {}
    for (fold, _), value in values.items():
        folds.setdefault(fold, []).append(value)
    if len(folds) == 1:
        return list(values.values())
    return [math.fsum(of_one) / len(of_one) for of_one in folds.values()]


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
    if len(values := independent(scores.acc)) > 1:
        bounds.append(over_seeds(values))
    if scores.images:
        bounds.append(wilson(scores.mean, scores.images))
    return (min(low for low, _ in bounds), max(high for _, high in bounds)) if bounds else None


def paired_t(differences: Sequence[float]) -> float:
    """The two-sided p of a paired t test; differences that are all the same give 0, or 1 if they
    are 0."""
    deviation = float(np.std(differences, ddof=1))
    mean = float(np.mean(differences))
    if deviation < 1e-12:
        return 1.0 if abs(mean) < 1e-12 else 0.0
    t = mean / (deviation / math.sqrt(len(differences)))
    return float(2 * stats.t.sf(abs(t), len(differences) - 1))


def mcnemar(only_first: int, only_second: int) -> float:
    """The exact two-sided p that two classifiers are equally good, from the images that only one
    of them got right (McNemar 1947; exact form as recommended by Dietterich 1998 for one test
    set)."""
    discordant = only_first + only_second
    return float(stats.binomtest(only_first, discordant, 0.5).pvalue) if discordant else 1.0


def two_proportions(first: float, n_first: int, second: float, n_second: int) -> float:
    """The two-sided p of the pooled z test of two accuracies on test images that cannot be
    paired."""
    pooled = (first * n_first + second * n_second) / (n_first + n_second)
    variance = pooled * (1 - pooled) * (1 / n_first + 1 / n_second)
    if variance <= 0:
        return 1.0
    return float(2 * stats.norm.sf(abs(first - second) / math.sqrt(variance)))


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


def over_images(first: Scores, second: Scores, repeats: Sequence[Repeat]) -> float | None:
    """The p of a difference over the test images alone: McNemar on each image's worth of counts
    (the mean over the `repeats` that were asked about it, summed over folds) when both runs'
    answers are known, else two proportions; None when the images are not counted."""
    pairs = [(first.answers.get(repeat), second.answers.get(repeat)) for repeat in repeats]
    known: dict[str, list[tuple[int, int]]] = {}
    for a, b in pairs:
        if a and b and a.images == b.images:
            only = int((a.correct & ~b.correct).sum()), int((b.correct & ~a.correct).sum())
            known.setdefault(a.images, []).append(only)
    if pairs and sum(map(len, known.values())) == len(pairs):
        means = [np.mean(counts, axis=0) for counts in known.values()]
        only_first, only_second = np.sum(means, axis=0)
        return mcnemar(round(only_first), round(only_second))
    if first.images and second.images:
        return two_proportions(first.mean, first.images, second.mean, second.images)
    return None


def compare(best: Scores, other: Scores) -> Comparison:
    """The difference of two contenders over the repetitions they share, with the larger p of both
    doubts: that the seeds were lucky (paired t) and that the test images were (so no spread over
    seeds is no certainty)."""
    seeds = sorted(best.acc.keys() & other.acc.keys())
    images = over_images(best, other, seeds)
    doubts = [images]
    differences = independent({seed: best.acc[seed] - other.acc[seed] for seed in seeds})
    if len(differences) > 1:
        doubts.append(paired_t(differences))
    behind = best.mean - other.mean
    if seeds:
        behind = math.fsum(best.acc[seed] - other.acc[seed] for seed in seeds) / len(seeds)
    known = [p for p in doubts if p is not None]
    return Comparison(behind, max(known) if known else 1.0, 1.0 if images is None else images)


def paired(first: Scores, second: Scores) -> tuple[float, float] | None:
    """The 95 % interval of how much better the first is: over the test images that both were asked
    about, with each seed's answers averaged, and with several seeds at least as wide as over them.

    One image is added to each kind of disagreement, so that few images, or none on which they
    differ, are no certainty (Bonett and Price 2012). None if the answers cannot be paired.
    """
    repeats = sorted(first.acc.keys() & second.acc.keys())
    pairs = [(first.answers.get(r), second.answers.get(r)) for r in repeats]
    if not pairs or any(not a or not b or a.images != b.images for a, b in pairs):
        return None
    parts: dict[str, list[np.ndarray]] = {}
    for a, b in pairs:
        if a and b:
            parts.setdefault(a.images, []).append(a.correct.astype(float) - b.correct)
    each = np.concatenate([*(np.mean(of_fold, axis=0) for of_fold in parts.values()), [1.0, -1.0]])
    n, z = len(each), float(stats.norm.ppf((1 + LEVEL) / 2))
    middle, half = float(each.mean()), z * float(each.std()) / math.sqrt(n)
    low, high = middle - half, middle + half
    differences = independent({r: first.acc[r] - second.acc[r] for r in repeats})
    if len(differences) > 1:
        t = float(stats.t.ppf((1 + LEVEL) / 2, len(differences) - 1))
        mean = float(np.mean(differences))
        half = t * float(np.std(differences, ddof=1)) / math.sqrt(len(differences))
        low, high = min(low, mean - half), max(high, mean + half)
    return max(-1.0, low), min(1.0, high)


def judge(contenders: Sequence[Scores]) -> Verdict:
    """Winner or tie: the best mean wins if it is better than every other one at 5 % (Holm over
    these comparisons); otherwise it ties with those it cannot be told apart from.

    Which one is the best is seen on the same test images. So before anybody wins, the clearest
    difference has to stand out among all pairs: of seven equal contenders with one seed, one in
    ten sweeps would have a loser otherwise, where 5 % are meant.
    """
    best = max(contenders, key=lambda scores: scores.mean)
    others = [scores for scores in contenders if scores is not best]
    raw = [compare(best, other) for other in others]
    corrected = holm([comparison.p for comparison in raw])
    pairs = math.comb(len(contenders), 2)
    images = holm([comparison.images_p for comparison in raw], first=pairs)
    comparisons = {
        other.name: Comparison(comparison.behind, max(p, images_p), images_p)
        for other, comparison, p, images_p in zip(others, raw, corrected, images, strict=True)
    }
    tied = {name for name, c in comparisons.items() if c.p >= 1 - LEVEL or c.behind <= 0}
    winners = tuple(s.name for s in contenders if s is best or s.name in tied)
    return Verdict(best.name, winners, comparisons)
