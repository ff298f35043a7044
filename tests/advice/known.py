"""Features whose cell of the table is known by construction: classes as points in a space, of which
pretrained features show more than random ones do."""

from dataclasses import dataclass

import numpy as np

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
