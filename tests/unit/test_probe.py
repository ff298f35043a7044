import csv
from types import MethodType, SimpleNamespace

import numpy as np
import pytest
import torch

from regraft.backbone import Backbone
from regraft.data.subset import some
from regraft.errors import RegraftError
from regraft.probe import Probe, answer

STRATEGY = Probe(name="probe", quadrant=None, images=60)
BACKBONE = SimpleNamespace(
    stages=[SimpleNamespace(parameters=3), SimpleNamespace(parameters=4)],
    weights="random",
    is_nhwc=False,
)
BACKBONE.mean_over_positions = MethodType(Backbone.mean_over_positions, BACKBONE)


def asked(features, labels, folder):
    rows = torch.as_tensor(features, dtype=torch.float16), torch.as_tensor(labels)
    computed = SimpleNamespace(data=SimpleNamespace(tensors={"train": rows}))
    names = [f"train/{n}" for n in range(len(labels))]
    images = SimpleNamespace(names={"train": names}, classes=["cat", "=dog", "eel"])
    return answer(STRATEGY, BACKBONE, images, computed, "", folder)


def blobs(n=90):
    labels = np.arange(n) % 3
    return np.eye(3)[labels] * 4 + np.random.default_rng(0).normal(size=(n, 3)), labels


def test_features_are_scored_and_each_image_told_right_or_wrong(tmp_path):
    found = asked(*blobs(), tmp_path)
    assert found["linear"]["acc"] > 0.9
    assert found["majority"] == pytest.approx(1 / 3)
    assert (found["images"], found["features"], found["params"]) == (60, 3, 7)
    with (tmp_path / "probe.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 60
    assert np.mean([int(row["linear"]) for row in rows]) == pytest.approx(found["linear"]["acc"])
    assert {row["true"] for row in rows} == {"cat", "'=dog", "eel"}


@pytest.mark.parametrize("shape", ["maps", "tokens"])
def test_maps_and_tokens_of_the_kept_stages_are_averaged_over_positions(tmp_path, shape):
    features, labels = blobs()
    noise = np.random.default_rng(1).normal(size=(len(labels), 3, 4, 4))
    maps = features[:, :, None, None] + noise - noise.mean((2, 3), keepdims=True)
    maps = maps if shape == "maps" else maps.reshape(len(labels), 3, 16).transpose(0, 2, 1)
    found = asked(maps, labels, tmp_path)
    expected = asked(features, labels, tmp_path)
    assert found["features"] == 3
    assert found["linear"]["acc"] == pytest.approx(expected["linear"]["acc"], abs=0.04)


def test_every_backbone_is_asked_about_the_same_images():
    labels = np.repeat(np.arange(4), [2, 10, 100, 300])
    chosen = some(labels, 40)
    assert np.array_equal(chosen, some(labels, 40))
    assert np.bincount(labels[chosen]).tolist() == [2, 2, 10, 29]
    assert some(labels, 1000).size == len(labels)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda rows, labels: (rows * np.nan, labels), "features of 90 of 90 images are not fin"),
        (lambda rows, labels: (rows * 0 + 1, labels), "the features of all images are the same"),
        (lambda rows, labels: (rows, np.r_[2, labels[1:] % 2]), "at least 2 training images"),
    ],
)
def test_features_that_say_nothing_are_a_line(change, said, tmp_path):
    with pytest.raises(RegraftError, match=said):
        asked(*change(*blobs()), tmp_path)
    assert not (tmp_path / "probe.csv").exists()


def test_without_features_there_is_no_probe(tmp_path):
    with pytest.raises(RegraftError, match="which they are not: features=off"):
        answer(STRATEGY, BACKBONE, None, None, "features=off", tmp_path)
