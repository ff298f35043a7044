"""Networks loaded from checkpoints alone, of every family, as plans and heads leave them."""

import json
import socket

import pytest
import torch
from families import FAMILIES
from saved import option, run

from regraft import trained
from regraft.backbone import Backbone
from regraft.errors import RegraftError


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    def refuse(*_):
        raise AssertionError("the network is not needed")

    monkeypatch.setattr(socket.socket, "connect", refuse)


def timm(name, size=None):
    return option("backbone", "timm", name=name, size=size)


def same(folder, network):
    """Whether what is loaded says the same of images."""
    found = trained.load(folder)
    images = torch.randn(2, 3, *found.input.size)
    with torch.inference_mode():
        torch.testing.assert_close(found.network(images), network(images))
    assert not found.network.training
    return found


def test_classes_stand_in_the_order_of_the_training_not_of_the_alphabet(tmp_path):
    run(tmp_path, classes=("zebra", "10", "9"))
    assert trained.load(tmp_path).classes == ("zebra", "10", "9")


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_is_loaded_offline(family, tmp_path):
    name, size = FAMILIES[family]
    found = same(tmp_path, run(tmp_path, backbone=timm(name, size)))
    assert found.classes == ("ant", "bee", "cat")
    assert found.input.size == (size, size)


@pytest.mark.parametrize("family", ["resnet", "vgg", "densenet", "convnext", "swin"])
def test_convolutions_on_the_map_leave_out_what_they_do_not_read(family, tmp_path):
    name, size = FAMILIES[family]
    head = option("head", "conv_mlp", width=8, hidden=8)
    same(tmp_path, run(tmp_path, backbone=timm(name, size), head=head))


@pytest.mark.parametrize("family", ["resnet", "vgg", "vit"])
def test_dropped_stages_stay_dropped(family, tmp_path):
    name, size = FAMILIES[family]
    freeze = option("freeze", "first", above="drop")
    found = same(tmp_path, run(tmp_path, backbone=timm(name, size), freeze=freeze))
    stages = found.network.backbone.stages
    assert not any(name.startswith(stages[-1].tensors[0]) for name in found.network.state_dict())


def test_a_transformer_of_another_size_than_its_weights(tmp_path):
    found = same(tmp_path, run(tmp_path, backbone=timm("test_vit", 96)))
    assert found.input.size == (96, 96)


def test_the_transform_is_the_checkpoints_not_that_of_todays_timm(tmp_path, monkeypatch):
    run(tmp_path)
    before = trained.load(tmp_path).input
    original = Backbone.__init__

    def newer(self, **options):
        original(self, **options)
        object.__setattr__(self.input, "mean", (0.1, 0.2, 0.3))

    monkeypatch.setattr(Backbone, "__init__", newer)
    assert trained.load(tmp_path).input == before


def changed(folder, change):
    path = folder / trained.BEST
    checkpoint = torch.load(path, weights_only=True)
    change(checkpoint)
    torch.save(checkpoint, path)


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ({"_target_": "torch.load", "f": "x"}, "backbone._target_=torch.load: makes no Backbone"),
        ({"_target_": "os.system", "command": "x"}, "os.system: not from a trusted module"),
    ],
)
def test_a_checkpoint_builds_no_more_than_its_network(target, said, tmp_path):
    run(tmp_path)
    changed(tmp_path, lambda stored: stored["regraft"]["config"].update(backbone=target))
    with pytest.raises(RegraftError, match=said):
        trained.load(tmp_path)


@pytest.mark.parametrize("stages", ["layer1.", "layer4."])
def test_a_run_that_has_not_ended_lacks_what_it_keeps(stages, tmp_path):
    run(tmp_path)

    def forget(stored):
        state = stored["state_dict"]
        for name in [name for name in state if f".{stages}" in name]:
            del state[name]

    changed(tmp_path, forget)
    with pytest.raises(RegraftError, match="a checkpoint is complete when its run has ended"):
        trained.load(tmp_path)


def test_what_does_not_fit_is_one_line(tmp_path):
    run(tmp_path)
    changed(tmp_path, lambda stored: stored["regraft"].update(classes=["ant", "bee"]))
    with pytest.raises(RegraftError, match="does not fit the network it names"):
        trained.load(tmp_path)


def test_what_is_no_checkpoint_is_one_line(tmp_path):
    for content in ({"a": 1}, {"regraft": {"config": {}, "classes": ["a"]}}, {"regraft": 3}):
        torch.save(content, tmp_path / "x.ckpt")
        with pytest.raises(RegraftError, match="no checkpoint of a run of regraft"):
            trained.load(tmp_path / "x.ckpt")
    (tmp_path / "x.ckpt").write_bytes(b"nonsense")
    with pytest.raises(RegraftError, match="is damaged, or no checkpoint"):
        trained.load(tmp_path / "x.ckpt")


@pytest.mark.parametrize(
    "values",
    [
        {"calibration": {"heat": 1}},
        {"calibration": {"temperature": 0.0}},
        {"calibration": {"temperature": float("nan")}},
        {"calibration": {"temperature": 1.0, "threshold": 2.0}},
        {"input": {"size": 3}},
        {"classes": 3},
    ],
)
def test_a_card_that_makes_no_sense_is_one_line(values, tmp_path):
    run(tmp_path)
    changed(tmp_path, lambda stored: stored["regraft"].update(values))
    with pytest.raises(RegraftError, match="best.ckpt is damaged, or no checkpoint"):
        trained.load(tmp_path)


def test_a_part_of_the_config_that_is_none_is_one_line(tmp_path):
    run(tmp_path)
    changed(tmp_path, lambda stored: stored["regraft"]["config"].update(head="linear"))
    with pytest.raises(RegraftError, match="best.ckpt is damaged, or no checkpoint"):
        trained.load(tmp_path)


def test_what_is_no_run_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for number in (2, 10):
        run(tmp_path / "sweep" / str(number))
    with pytest.raises(RegraftError, match="^sweep is a sweep: name one of its jobs, .* sweep/2$"):
        trained.load(tmp_path / "sweep")
    run(tmp_path / "day" / "12-30-01-000001")
    with pytest.raises(RegraftError, match="^day: no run and no exported folder$"):
        trained.load(tmp_path / "day")
    with pytest.raises(RegraftError, match="^x{80}: File name too long$"):
        trained.load(tmp_path.relative_to(tmp_path) / ("x" * 300))
    with pytest.raises(RegraftError, match="did you mean 'sweep'"):
        trained.load(tmp_path / "sweeep")
    (tmp_path / "sweep" / "result.json").write_text(json.dumps({"status": "failed"}))
    with pytest.raises(RegraftError, match="no run and no exported folder"):
        trained.load(tmp_path / "sweep" / "2" / "checkpoints")


def test_a_checkpoint_of_which_a_byte_has_changed_is_damaged(tmp_path):
    run(tmp_path)
    path = tmp_path / trained.BEST
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(RegraftError, match="is damaged"):
        trained.load(tmp_path)
