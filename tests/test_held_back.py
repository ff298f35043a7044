"""Forecasts against what trainings on held-back images give; see docs/forecast.md."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from held_back import CHEAP, Data, Held, cases, digits, logistic, table
from jobs import composed

from regraft.config import build
from regraft.data.images import Images
from regraft.plan import graft

LEAST = 0.85  # of the cases, where the interval is nominally 90 %


def check(every: Sequence[Held]) -> None:
    found = [one for one in every if not one.refused]
    assert len(found) >= 0.97 * len(every)
    held = np.array([one.covered for one in found])
    wide = np.array([np.diff(one.intervals)[:, 0] for one in found])
    off = np.abs([np.subtract(one.forecast, one.truth) for one in found])
    assert held.mean(0).min() >= LEAST
    assert np.median(wide, axis=0).max() < 0.18  # or anything would be held
    assert (off.mean(0) < (0.035, 0.045)).all()


def test_intervals_hold_what_held_back_images_give_in_most_of_forty_cases():
    found = [*cases(range(1000, 1002), CHEAP, {"digits": digits()})]
    print(table(found, by=lambda one: "cheap"))
    assert len(found) == 40
    check(found)


@pytest.mark.slow
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
