"""Forecasts against what trainings on held-back images give; see docs/forecast.md."""

from pathlib import Path

import numpy as np
import torch
from held_back import CHEAP, Data, cases, check, digits, logistic, table
from jobs import composed

from regraft.config import build
from regraft.data.images import Images
from regraft.plan import graft


def test_the_same_with_more_seeds_a_networks_features_and_logistic_regression(tmp_path):
    real = {"digits": digits(), "digits, features": features(tmp_path)}
    found = [*cases(range(5000, 5006), CHEAP | {"logistic": logistic}, real)]
    print(table(found, by=lambda one: one.kind.rpartition(", ")[0]))
    print(table(found, by=lambda one: one.kind.rpartition(", ")[2]))
    check(found)
    neighbours = [one for one in found if one.kind.endswith("neighbour")]
    assert np.mean([one.covered for one in neighbours], axis=0).min() >= 0.8


def features(folder: Path) -> Data:
    """What the embedded backbone gives for the digits."""
    cfg = composed(folder, "logger=none")
    backbone = build(cfg.backbone).eval()
    images: Images = build(cfg.loader, build(cfg.data, 0), backbone.input, None, build(cfg.balance))
    graft(build(cfg.freeze, len(backbone.stages), images.sizes["train"]), backbone)
    rows, labels = [], []
    with torch.no_grad():
        for split in ("train", "val", "test"):
            for inputs, truth in images.loader(split, shuffle=False):
                rows.append(backbone(images.input.normalize(inputs)).numpy())
                labels.append(truth.numpy())
    return np.concatenate(rows), np.concatenate(labels)
