"""One function makes all keys of the store: each part of it, changed alone, is a miss."""

from dataclasses import replace

import families
import numpy as np
import pytest
import pytorch_lightning as pl
import torch

from regraft import features, head, plan
from regraft.cut import slices
from regraft.data import images as room
from regraft.data.images import Images
from regraft.data.sources import Source, Split
from regraft.data.white import Whites
from regraft.depth import depths
from regraft.features import Caching
from regraft.fingerprint import versions
from regraft.pretrain.layerwise import Below, computed
from regraft.pretrain.method import Task
from regraft.store import NotStoredError, Store

CPU = torch.device("cpu")
CACHING = Caching(use="auto", dtype="float32", views=0, max_gb=1)


def split(count, seed):
    images = np.random.default_rng(seed).integers(0, 256, (count, 16, 16, 3), dtype=np.uint8)
    return Split(images, np.arange(count) % 2, tuple(map(str, range(count))))


SOURCE = Source("noise", ("a", "b"), split(4, 0), split(2, 1), split(2, 2))


@pytest.fixture(autouse=True)
def asked(tmp_path, monkeypatch):
    """The keys that the store is asked for; it keeps nothing."""
    found = []

    def compute(self, key, *_):
        found.append(key)
        raise NotStoredError("nothing is kept here")

    monkeypatch.setenv("REGRAFT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(Store, "compute", compute)
    monkeypatch.setattr(room, "_HELD_BYTES", 0)
    return found


def unwatched(chunks, *_):
    return chunks


def of_images(backbone, images):
    images.keep_decoded(Store(CACHING.store.root), unwatched, ["train"])


def of_features(backbone, images):
    policy = plan.first(len(backbone.stages), 4, stages=2, above="tune", fixed_norm_below=0)
    top = head.linear(backbone.out_features, backbone.map_shape, 2)
    once = features.decide(CACHING, policy, backbone, top, images)
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    trainer = pl.Trainer(accelerator="cpu", max_epochs=1, **quiet)
    features.compute(CACHING, once, backbone, images, trainer, unwatched)


def of_depths(backbone, images):
    depths(backbone, images, "train", CACHING.store, unwatched, CPU)


def of_a_stage(backbone, images):
    task = Task(backbone, images, CACHING, CPU, unwatched)
    computed(slices(backbone)[0], Below(), task)


def made(source=SOURCE, seed=0, **changes):
    backbone = families.backbone("resnet", seed)
    backbone.input = replace(backbone.input, **changes)
    settings = {"batch_size": 4, "workers": 0, "decoded_cache": True}
    return backbone.eval(), Images(source, backbone.input, **settings)


def changed_pixel():
    images = SOURCE.train.images.copy()
    images[3, 7, 7, 1] ^= 1
    return replace(SOURCE, train=replace(SOURCE.train, images=images))


# Without a network, and with one.
KINDS = [of_images, of_features, of_depths, of_a_stage]
OF_IMAGES = {
    "a pixel": lambda patch: made(changed_pixel()),
    "the order": lambda patch: made(replace(SOURCE, train=SOURCE.train.take(np.arange(4)[::-1]))),
    "the white": lambda patch: made(replace(SOURCE, white=Whites((4095, 65535, 1)))),
    "the mean": lambda patch: made(mean=(0.5, 0.4, 0.3)),
    "the crop": lambda patch: made(crop_pct=0.5),
    "the interpolation": lambda patch: made(interpolation="nearest"),
    "the reader": lambda patch: patch.setattr(room, "READER", 1000) or made(),
    "the layout": lambda patch: patch.setattr(room, "LAYOUT", 1000) or made(),
    **{
        library: lambda patch, library=library: (
            patch.setattr(room, "versions", lambda names: versions(names) | {library: "2"})
            or made()
        )
        for library in room.LIBRARIES
    },
}


def renamed():
    backbone, images = made()
    backbone.name = "another"
    return backbone, images


OF_NETWORKS = {"the weights": lambda: made(seed=1), "the network": renamed}


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_parts_have_the_same_key(kind, asked):
    kind(*made())
    kind(*made())
    first, second = asked[0], asked[len(asked) // 2]
    assert first == second


@pytest.mark.parametrize("change", OF_IMAGES)
@pytest.mark.parametrize("kind", KINDS)
def test_each_part_of_the_images_changed_alone_is_a_miss(kind, change, asked, monkeypatch):
    kind(*made())
    count = len(asked)
    kind(*OF_IMAGES[change](monkeypatch))
    assert len(asked) == 2 * count > 0
    assert not {*asked[:count]} & {*asked[count:]}


@pytest.mark.parametrize("change", OF_NETWORKS)
@pytest.mark.parametrize("kind", KINDS[1:])
def test_each_part_of_the_network_changed_alone_is_a_miss(kind, change, asked):
    kind(*made())
    kind(*OF_NETWORKS[change]())
    assert len({*asked}) == len(asked) > 1


def test_no_two_kinds_share_a_key(asked):
    for kind in KINDS:
        kind(*made())
    assert len({*asked}) == len(asked) == len(KINDS)
