"""A run's own folder as the source of another's weights."""

import families
import pytest
import torch
from jobs import run_job
from runs import TINY

from regraft.backbone import Backbone

NAME, SIZE = families.FAMILIES["resnet"]
# Whose frozen stem and first stage are in the checkpoint as well.
WORDS = (*TINY, *families.cut("resnet", "off"))


@pytest.fixture
def donor(finished_run):
    """The run whose weights are taken."""
    return finished_run(*WORDS)


@pytest.fixture
def no_network(donor, monkeypatch):  # the donor first: it is trained for all tests
    def refuse(*_, **__):
        raise AssertionError("a socket is wanted")

    monkeypatch.setattr("socket.socket", refuse)
    monkeypatch.setattr("socket.getaddrinfo", refuse)


@pytest.mark.parametrize("inside", ["", "checkpoints", "checkpoints/best.ckpt"])
def test_our_own_run_is_a_source_that_needs_no_network(inside, donor, no_network, caplog):
    caplog.set_level("INFO", "regraft")
    run = donor.folder
    checkpoint = torch.load(run / "checkpoints" / "best.ckpt", weights_only=True)
    assert "classes" in checkpoint["regraft"]
    net = Backbone(name=NAME, weights=str(run / inside), size=SIZE)
    found = net.graft(pretrained=range(len(net.stages)))
    for name, tensor in net.net.state_dict().items():
        assert torch.equal(tensor, checkpoint["state_dict"][f"backbone.net.{name}"])
    assert found.source == str(run / "checkpoints" / "best.ckpt")
    heads = [name for name in checkpoint["state_dict"] if name.startswith("head.")]
    assert heads
    for head in heads:
        assert f"{head} {[*checkpoint['state_dict'][head].shape]}" in caplog.text


def test_a_job_starts_from_the_folder_of_another(donor, no_network, tmp_path):
    moved = donor.copy(tmp_path / "moved")
    words = ["backbone=timm", f"backbone.name={NAME}", f"backbone.weights={moved}"]
    run_job(tmp_path / "next", *TINY, *words)
    first = torch.load(moved / "checkpoints" / "best.ckpt", weights_only=True)["state_dict"]
    kept = torch.load(tmp_path / "next/checkpoints/best.ckpt", weights_only=True)["state_dict"]
    trunk = {name: tensor for name, tensor in first.items() if name.startswith("backbone.net.")}
    assert trunk
    assert all(torch.equal(kept[name], tensor) for name, tensor in trunk.items())
