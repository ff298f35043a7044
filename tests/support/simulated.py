"""Contenders whose true accuracies are known, judged on test images that are drawn."""

import numpy as np
from scipy import stats

from regraft.statistics import Answers, Scores


def answers(correct, images="the same"):
    return Answers(images, np.array(correct, dtype=bool))


def of_sweep(rng, accs, *, images, seeds, alike, luck=0.0, splits=False):
    """Contenders with these true accuracies, judged on the same test images.

    `alike` is the share of an image's difficulty that is the same for all contenders and seeds,
    `luck` the standard deviation of a true accuracy over seeds, one for all or one each; with
    `splits` every seed has its own test images.
    """
    sets = seeds if splits else 1
    hard = np.sqrt(alike) * rng.normal(size=(sets, images))
    lucks = np.broadcast_to(luck, len(accs))
    made = []
    for number, (acc, own) in enumerate(zip(accs, lucks, strict=True)):
        true = np.clip(rng.normal(acc, own, size=seeds) if own else np.full(seeds, acc), 0.01, 0.99)
        right = {
            (-1, seed): hard[seed % sets] + np.sqrt(1 - alike) * rng.normal(size=images)
            < stats.norm.ppf(true[seed])
            for seed in range(seeds)
        }
        means = {repeat: float(correct.mean()) for repeat, correct in right.items()}
        known = {
            (fold, seed): answers(correct, f"set {seed % sets}")
            for (fold, seed), correct in right.items()
        }
        made.append(Scores(str(number), means, images * sets, known))
    return made
