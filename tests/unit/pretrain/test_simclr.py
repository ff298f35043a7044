import pytest
import torch
from blobs import task

from regraft.pretrain.simclr import SimCLR

SETTINGS = {
    "start": "random",
    "unlabeled": None,
    "epochs": 6,
    "batch_size": 24,
    "lr": 3e-3,
    "weight_decay": 0.01,
    "temperature": 0.2,
    "projection": 16,
    "min_scale": 0.5,
    "flip": 0.5,
    "rotate": 10,
    "colour": 0.5,
    "blur": 0.1,
}


def test_two_views_of_an_image_become_more_alike_than_those_of_others():
    pytest.importorskip("lightly")
    made = task(batch_size=24)
    before = {name: p.clone() for name, p in made.backbone.named_parameters()}
    (found,) = SimCLR(**SETTINGS).learn(made)
    assert found.stages == "all stages"
    assert found.last < found.first
    moved = [n for n, p in made.backbone.named_parameters() if not torch.equal(p, before[n])]
    assert len(moved) == len(before)
