"""Features whose cell of the table is known by construction: classes as points in a space, of which
pretrained features show more than random ones do."""

from dataclasses import dataclass
from functools import cache

import numpy as np

from regraft.advice import similarity, size
from regraft.advice.placement import Placement, Thresholds, place
from regraft.advice.similarity import Similarity

CLASSES, WIDTH = 10, 64


@dataclass(frozen=True)
class Known:
    """Train and val features of both trunks, by stage, with their labels."""

    pretrained: dict[str, np.ndarray]
    random: dict[str, np.ndarray]
    labels: np.ndarray
    val: dict[str, np.ndarray]
    val_labels: np.ndarray


def known(*, similar: bool, small: bool, seed: int) -> Known:
    """Similar: the classes lie apart in the pretrained features and hardly in the random ones; else
    equally little in both. Small: so few images that the probe is still learning.
    """
    rng = np.random.default_rng(seed)
    per_class = 8 if small else 150
    labels = np.repeat(np.arange(CLASSES), per_class)
    val_labels = np.repeat(np.arange(CLASSES), 40)
    apart = {"pretrained": 2.8 if similar else 2.4, "random": 0.3 if similar else 2.3}
    made = {}
    for weights, far in apart.items():
        centres = rng.normal(size=(CLASSES, WIDTH))
        centres *= far / np.linalg.norm(centres, axis=1, keepdims=True)
        for split, of in (("train", labels), ("val", val_labels)):
            noise = rng.normal(size=(2, len(of), WIDTH)) * 0.7
            weak, strong = (0.5 * centres[of] + noise[0], centres[of] + noise[1])
            made[weights, split] = {"stem": weak, "stage1": strong}
    return Known(
        made["pretrained", "train"],
        made["random", "train"],
        labels,
        made["pretrained", "val"],
        val_labels,
    )


@cache
def found(*, seed: int) -> Similarity:
    """What probes say of a small data set that is similar, measured once."""
    data = known(similar=True, small=True, seed=seed)
    return similarity.measure(data.pretrained, data.random, data.labels)


LINES = Thresholds(similar_from=0.75, small_gain=0.025, small_per_class=50)


def placed(*, similar: bool, small: bool, seed: int) -> Placement:
    """Where such data are put by their last stage."""
    data = known(similar=similar, small=small, seed=seed)
    last = ({"stage1": features["stage1"]} for features in (data.pretrained, data.random))
    measured = size.measure(
        (data.pretrained["stage1"], data.labels),
        (data.val["stage1"], data.val_labels),
        images=len(data.labels),
        sizes=6,
        replicates=3,
        seed=seed,
    )
    return place(similarity.measure(*last, data.labels, seed=seed), measured, LINES)
