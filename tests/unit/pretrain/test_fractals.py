import dataclasses

from blobs import task

from regraft import card, embedded
from regraft.backbone import Backbone
from regraft.config import build
from regraft.data.fractals import cached
from regraft.data.images import Images
from regraft.pretrain.fractals import HELD_BACK, Fractals

RECIPE = Fractals(
    start="random",
    classes=150,
    images=200,
    fractal_seed=0,
    epochs=14,
    batch_size=64,
    lr=3e-3,
    weight_decay=0.05,
)


def test_the_embedded_weights_are_taken_where_they_are_what_is_asked_for(tmp_path):
    from jobs import composed

    shipped = build(composed(tmp_path, "pretrain=fractals").pretrain)
    assert shipped == RECIPE
    network = Backbone(name="fractal_resnet")
    assert RECIPE.shipped(network) == embedded.WEIGHTS
    assert card.is_intact(embedded.WEIGHTS)
    assert dataclasses.replace(RECIPE, epochs=15).shipped(network) is None
    assert RECIPE.shipped(Backbone(name="test_resnet")) is None


def test_any_backbone_learns_classes_of_fractals(tmp_path, monkeypatch):
    monkeypatch.setenv("REGRAFT_CACHE", str(tmp_path))
    few = dataclasses.replace(RECIPE, classes=3, images=8, epochs=6, batch_size=8)
    made = task("test_resnet", 32)
    source = few.source(lambda: None, made.backbone)
    images = Images(source, made.backbone.input, batch_size=8, workers=0)
    (found,) = few.learn(dataclasses.replace(made, images=images))
    assert found.last < found.first
    assert (images.sizes, images.num_classes) == ({"train": 24, "val": 0, "test": 0}, 3)
    # Not those that preset=pretrain_fractals validates and tests on.
    whole = cached("source", 3, HELD_BACK + 8, size=32, seed=0)
    assert (source.train.images[:8] == whole[HELD_BACK : HELD_BACK + 8]).all()
