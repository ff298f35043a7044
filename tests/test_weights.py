import time

import pytest
import torch
from safetensors.torch import save_file

from regraft import weights
from regraft.backbone import Backbone
from regraft.errors import RegraftError

NAME = "test_resnet"


def backbone(weights="random", seed=0):
    torch.manual_seed(seed)
    return Backbone(name=NAME, weights=str(weights), size=64)


def everything(net):
    return range(len(net.stages))


def same(a, b):
    return all(torch.equal(a.net.state_dict()[n], t) for n, t in b.net.state_dict().items())


@pytest.fixture
def donor():
    net = backbone(seed=1)
    for p in net.parameters():
        torch.nn.init.normal_(p)
    return net


@pytest.mark.parametrize("prefix", ["", "net.", "backbone.net.", "module.", "model."])
@pytest.mark.parametrize("suffix", ["safetensors", "pth"])
def test_a_file_is_read_whatever_wraps_the_names(donor, tmp_path, prefix, suffix):
    path = tmp_path / f"weights.{suffix}"
    state = {prefix + n: t.contiguous() for n, t in donor.net.state_dict().items()}
    state["fc.weight"] = torch.zeros(3, 96)
    if suffix == "safetensors":
        save_file(state, path)
    else:
        torch.save({"state_dict": state, "epoch": 3}, path)
    net = backbone(path)
    weights = net.graft(pretrained=everything(net))

    assert same(net, donor)
    assert len(weights.sha256) == 64


def test_only_the_stages_that_want_weights_get_them(donor, tmp_path):
    save_file(
        {n: t.contiguous() for n, t in donor.net.state_dict().items()}, tmp_path / "w.safetensors"
    )
    net, fresh = backbone(tmp_path / "w.safetensors"), backbone()
    net.graft(pretrained=[0, 1])

    for index in everything(net):
        source = donor if index < 2 else fresh
        for name, parameter in net.stage_parameters(index).items():
            assert torch.equal(parameter, source.stage_parameters(index)[name])


def test_no_file_is_touched_when_no_stage_wants_weights():
    net = backbone("/nowhere/at/all.safetensors")
    assert net.graft(pretrained=[]) is None


def test_a_missing_file_is_named():
    net = backbone("/nowhere/at/all.safetensors")
    with pytest.raises(RegraftError, match=r"/nowhere/at/all.safetensors: no such file"):
        net.graft(pretrained=[0])


def test_weights_that_do_not_fit_list_what_is_wrong(donor, tmp_path):
    state = {n: t.contiguous() for n, t in donor.net.state_dict().items()}
    del state["bn1.weight"]
    state["layer1.0.conv1.weight"] = torch.zeros(1, 1, 3, 3)
    save_file(state, tmp_path / "w.safetensors")
    net = backbone(tmp_path / "w.safetensors")
    with pytest.raises(RegraftError, match=r"bn1.weight missing; layer1.0.conv1.weight is \[1, 1"):
        net.graft(pretrained=[0])


class Payload:
    def __reduce__(self):
        return (print, ("run",))


def test_a_pickle_that_would_run_code_is_refused(tmp_path, capsys):
    torch.save({"state_dict": Payload()}, tmp_path / "w.pth")
    net = backbone(tmp_path / "w.pth")
    with pytest.raises(RegraftError, match="could run code"):
        net.graft(pretrained=[0])
    assert "run" not in capsys.readouterr().out


@pytest.mark.parametrize("name", ["w.pth", "w.safetensors"])
def test_a_damaged_file_is_one_line(tmp_path, name):
    (tmp_path / name).write_bytes(b"not weights at all")
    net = backbone(tmp_path / name)
    with pytest.raises(RegraftError, match=name) as caught:
        net.graft(pretrained=[0])
    assert "\n" not in str(caught.value)


def test_without_network_and_file_the_three_ways_out_are_named_at_once(monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    net = Backbone(name="resnet18.a1_in1k", weights="pretrained", size=64)
    start = time.monotonic()
    with pytest.raises(RegraftError) as caught:
        net.graft(pretrained=[0])

    assert time.monotonic() - start < 5
    text = str(caught.value)
    for way in ("HF_HOME", "backbone.weights=<file>", "backbone.weights=random"):
        assert way in text
    assert "\n" not in text


@pytest.mark.parametrize(
    ("licence", "warned"), [("cc-by-nc-4.0", 1), ("other", 1), ("Apache-2.0", 0), (None, 0)]
)
def test_a_licence_that_forbids_things_is_named_once(licence, warned, monkeypatch, caplog):
    weights._warn_of.cache_clear()
    net = Backbone(name="fractal_resnet", weights="pretrained")
    monkeypatch.setitem(net.net.pretrained_cfg, "license", licence)
    for _ in range(2):
        assert net.graft(pretrained=[0]).license == licence
    assert caplog.text.count("licence") == warned
    if warned:
        assert f"has the licence {licence}" in caplog.text
