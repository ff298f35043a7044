"""A handful of images to pretrain on, and how."""

import dataclasses

import families
import numpy as np
import pytorch_lightning as pl
import torch

from regraft.backbone import Backbone
from regraft.cut import slices
from regraft.data.images import Images
from regraft.data.sources import Split
from regraft.features import Caching
from regraft.pretrain import unlabeled
from regraft.pretrain.layerwise import Decoder, Layerwise
from regraft.pretrain.method import Task

LAYERWISE = Layerwise(
    start="random",
    unlabeled=None,
    epochs=3,
    batch_size=8,
    lr=3e-3,
    weight_decay=0.01,
    corruption=0.3,
    patch=8,
)


def split(count=24, size=16):
    """Soft blobs, so that there is something to learn."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (count, 4, 4, 3), dtype=np.uint8)
    images = coarse.repeat(size // 4, 1).repeat(size // 4, 2)
    return Split(images, np.arange(count) % 2, tuple(map(str, range(count))))


def task(name="fractal_resnet", size=32, use="auto", batch_size=8):
    pl.seed_everything(0, verbose=False)  # Python's own, too, by which views are drawn
    backbone = Backbone(name=name, size=size)
    images = Images(unlabeled.only(split(), "blobs"), backbone.input, batch_size=8, workers=0)
    images.batch_size = batch_size
    caching = Caching(use=use, dtype="float16", views=0, max_gb=1)
    return Task(backbone, images, caching, torch.device("cpu"), lambda chunks, *_: chunks)


def changed(**settings):
    return dataclasses.replace(LAYERWISE, **settings)


@torch.no_grad()
def a_row_of_stages_each_with_a_decoder(family):
    """Slices are the network in parts, and each decoder gives what its slice has taken."""
    backbone = families.backbone(family).eval()
    x = images = torch.randn(2, 3, *backbone.input.size)
    for index, part in enumerate(slices(backbone)):
        decoder = Decoder(part, backbone)
        given = part.run(x)
        assert decoder(given).shape == decoder.taken.as_map(x).shape
        assert [*part.stages] == [index]
        x = given
    torch.testing.assert_close(x, backbone.net.forward_features(images))
    assert index + 1 == backbone.map_stages
