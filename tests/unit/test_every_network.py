"""What the table of all networks is made with, on a few of them; all of them in nightly."""

import every_network
import pytest
import torch

from regraft.backbone import Backbone


def test_the_table_says_of_each_network_that_it_works_or_why_not():
    known = every_network.read()
    assert known
    assert {row["outcome"] for row in known.values()} <= {"works", "refused"}
    assert all(row["why"].startswith("backbone") for row in known.values() if not row["stages"])


@pytest.mark.parametrize("name", ["test_resnet", "test_vit", "nf_regnet_b0", "poolformer_s12"])
def test_a_row_says_what_becomes_of_a_network(name):
    row = every_network.row(name, set())
    if name == "poolformer_s12":
        assert (row["outcome"], "does not group MetaFormer" in row["why"]) == ("refused", True)
    else:
        assert (row["outcome"], row["why"]) == ("works", "")
        assert all(cut.split("/")[0] == cut.split("/")[1] for cut in row["cuts"].split())


def test_networks_of_one_kind_are_cut_once():
    kinds: set[str] = set()
    first, second = (every_network.row(name, kinds) for name in ("resnet18", "resnet34"))
    assert first["kind"] == second["kind"]
    assert first["cuts"] and "cuts" not in second


@pytest.mark.parametrize("part", ["forward_head", "blocks"])
def test_what_is_no_function_of_the_image_is_seen(monkeypatch, part):
    with torch.device("meta"):
        backbone = Backbone(name="legacy_seresnet18", size=64)
    assert not every_network.impure(backbone)

    def forgetful(mode=True):
        torch.nn.Module.train(backbone, mode)
        backbone.net.training = True if part == "forward_head" else backbone.net.training
        return backbone

    monkeypatch.setattr(backbone, "train", forgetful)
    assert every_network.impure(backbone) >= {
        "bernoulli_" if part == "forward_head" else "native_batch_norm"
    }
