"""Contenders whose true accuracies are known, judged on test images that are drawn."""

import numpy as np
from scipy import stats

from regraft.statistics import Answers, Scores


def answers(correct, images="the same"):
    return Answers(images, np.array(correct, dtype=bool))


def of_sweep(rng, accs, *, images, seeds, alike):
    """Contenders with these true accuracies, judged on the same test images.

    `alike` is the share of an image's difficulty that is the same for all contenders and seeds.
    """
    hard = np.sqrt(alike) * rng.normal(size=images)
    made = []
    for number, acc in enumerate(accs):
        right = {
            (-1, seed): hard + np.sqrt(1 - alike) * rng.normal(size=images) < stats.norm.ppf(acc)
            for seed in range(seeds)
        }
        means = {repeat: float(correct.mean()) for repeat, correct in right.items()}
        known = {repeat: answers(correct) for repeat, correct in right.items()}
        made.append(Scores(str(number), means, images, known))
    return made
