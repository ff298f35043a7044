"""Features of every stage are those of the network, for every family, and computed once."""

import itertools

import families
import numpy as np
import pytest
import torch

from regraft.data.images import Images
from regraft.data.sources import Source, Split
from regraft.depth import depths
from regraft.store import Store

CPU = torch.device("cpu")


def split(count, seed):
    images = np.random.default_rng(seed).integers(0, 256, (count, 16, 16, 3), dtype=np.uint8)
    return Split(images, np.arange(count) % 2, tuple(map(str, range(count))))


SOURCE = Source("noise", ("a", "b"), split(6, 0), split(4, 1), split(5, 2))


def watch(chunks, *_):
    return chunks


def made(family="resnet"):
    backbone = families.backbone(family)
    return backbone, Images(SOURCE, backbone.input, batch_size=4, workers=0)


@pytest.mark.parametrize("family", families.FAMILIES)
def test_the_last_is_what_a_head_takes_and_each_stage_has_a_row_per_image(family, tmp_path):
    backbone, images = made(family)
    found = depths(backbone, images, "train", Store(tmp_path), watch, CPU)
    names = [stage.name for stage in backbone.stages]
    assert [*found.by_stage] == [name for name in names if name in found.by_stage]
    assert len(found.by_stage) > len(names) / 2 and names[-1] in found.by_stage
    assert all(rows.shape[0] == 6 and rows.ndim == 2 for rows in found.by_stage.values())
    whole = images.input.normalize(next(iter(images.loader("train")))[0])
    with torch.no_grad():
        expected = backbone.eval()(whole)
    np.testing.assert_allclose(found.last[:4], expected, rtol=1e-4, atol=1e-5)


def test_a_map_is_averaged_over_its_positions(tmp_path):
    backbone, images = made()
    found = depths(backbone, images, "val", Store(tmp_path), watch, CPU)
    whole = images.input.normalize(next(iter(images.loader("val")))[0])
    with torch.no_grad():
        given = backbone.eval().net.layer1(
            backbone.net.maxpool(backbone.net.act1(backbone.net.bn1(backbone.net.conv1(whole))))
        )
    np.testing.assert_allclose(found.by_stage["stage1"], given.mean((2, 3)), rtol=1e-4, atol=1e-5)


def test_a_second_look_sends_nothing_through_the_network(tmp_path):
    backbone, images = made()
    first = depths(backbone, images, "train", Store(tmp_path), watch, CPU)
    count = backbone.images_forwarded
    again = depths(backbone, images, "train", Store(tmp_path), watch, CPU)
    assert backbone.images_forwarded == count == 6
    np.testing.assert_array_equal(first.last, again.last)


def test_other_weights_are_other_features(tmp_path):
    (backbone, images), store = made(), Store(tmp_path)
    first = depths(backbone, images, "train", store, watch, CPU)
    with torch.no_grad():
        next(backbone.parameters()).mul_(2)
    again = depths(backbone, images, "train", store, watch, CPU)
    assert not np.allclose(first.by_stage["stem"], again.by_stage["stem"])


def test_without_room_they_are_computed_and_not_kept(tmp_path, caplog):
    backbone, images = made()
    first = depths(backbone, images, "train", None, watch, CPU)
    again = depths(backbone, images, "train", Store(tmp_path, max_bytes=10), watch, CPU)
    np.testing.assert_array_equal(first.last, again.last)
    assert "the features are not kept" in caplog.text
    assert not any(tmp_path.glob("[0-9a-f]*/"))


def test_the_mode_of_the_network_stays(tmp_path):
    for family, mode in itertools.product(("resnet", "vit"), (True, False)):
        backbone, images = made(family)
        backbone.train(mode)
        depths(backbone, images, "train", None, watch, CPU)
        assert backbone.training is mode
