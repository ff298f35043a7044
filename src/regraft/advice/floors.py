"""How good one is without training a network: the floors that a strategy has to be better than."""

import numpy as np
from omegaconf import DictConfig

from regraft import scores
from regraft.advice.measure import at_most, features_of, images_for, pretrained_trunk, random_trunk
from regraft.config import build
from regraft.data.images import Watch

MOST = 10_000  # training images to learn from, if there are more


def measure(cfg: DictConfig, watch: Watch) -> dict[str, float]:
    """Test accuracy of the majority class, and of neighbours and linear probes on features.

    With random weights there is no pretrained one among them.
    """
    pretrained, weights = pretrained_trunk(cfg)
    random = random_trunk(cfg)
    images = images_for(cfg, at_most(build(cfg.data, cfg.seed), MOST), random)
    judge = images.judged[-1]
    labels, truth = (images.labels(split).numpy() for split in ("train", judge))
    found = {"majority": float(np.mean(truth == np.bincount(labels).argmax()))}
    trunks = {"random trunk, linear probe": random}
    if weights is not None:
        trunks["linear probe"] = pretrained
    for name, trunk in trunks.items():
        train, test = (features_of(cfg, trunk, images, s, watch).last for s in ("train", judge))
        penalty = scores.best_penalty(train, labels, cfg.seed)
        model = scores.fit_linear(train, labels, penalty)
        found[name] = float(model.score(test, truth))
        if trunk is pretrained:
            found["nearest neighbours"] = scores.nearest(train, labels, test, truth)
    return {name: round(acc, 6) for name, acc in found.items()}
