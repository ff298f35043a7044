import argparse
import gzip
import importlib
import io
import json
import logging
import pickle
import re
import tarfile
import zipfile

import pytest
import pytorch_lightning as pl
import timm
import torch
import torchvision
from families import FAMILIES
from omegaconf import OmegaConf
from safetensors.torch import save_file
from timm.models._hub import save_for_hf
from torch import nn

from regraft import weights
from regraft.architecture import create
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


WRAPPERS = ["", "net.", "backbone.net.", "module.", "model._orig_mod.", "student.encoder.0."]


@pytest.mark.parametrize("prefix", WRAPPERS)
@pytest.mark.parametrize("suffix", ["safetensors", "pth"])
def test_a_file_is_read_whatever_wraps_the_names(donor, tmp_path, prefix, suffix):
    path = tmp_path / f"weights.{suffix}"
    state = {prefix + n: t.contiguous() for n, t in donor.net.state_dict().items()}
    state[f"{prefix}fc.weight"] = torch.zeros(3, 96)
    state["loss.weight" if prefix else "head.weight"] = torch.zeros(3)
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


def refused(match, path, *, name=NAME, stages=(0,)):
    net = Backbone(name=name, weights=str(path), size=64)
    with pytest.raises(RegraftError, match=match) as caught:
        net.graft(pretrained=stages)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def stored(net):
    return {n: t.contiguous() for n, t in net.net.state_dict().items()}


@pytest.mark.parametrize(
    ("path", "match"),
    [
        ("/nowhere/at/all.safetensors", "/nowhere/at/all.safetensors: no such file or folder; use"),
        ("{}/waits/w.pth", "did you mean 'weights'"),
        ("{}/weights/ww.pth", "did you mean 'w.pth'"),
        ("pretraind", "did you mean 'pretrained'"),
    ],
)
def test_a_missing_path_is_named_with_what_is_spelt_alike(tmp_path, path, match):
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "w.pth").touch()
    refused(match, path.format(tmp_path))


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_floats_of_any_precision_are_weights(donor, tmp_path, kind):
    state = {name: tensor.to(kind) for name, tensor in stored(donor).items()}
    save_file(state, tmp_path / "w.safetensors")
    net = backbone(tmp_path / "w.safetensors")
    net.graft(pretrained=everything(net))
    for ours, theirs in zip(net.net.parameters(), donor.net.parameters(), strict=True):
        assert ours.dtype == torch.float32
        assert torch.equal(ours, theirs.to(kind).float())


@pytest.mark.parametrize("url", ["https://example.org/w.pth", "s3://bucket/w.safetensors"])
def test_weights_are_not_fetched_from_an_address(url):
    assert refused("download it", url).startswith(f"backbone.weights={url}: is not fetched")


def test_weights_that_do_not_fit_list_what_is_wrong(donor, tmp_path, caplog):
    caplog.set_level(logging.INFO, "regraft")
    state = stored(donor)
    for name in ("bn1.weight", "bn1.bias", "bn1.running_mean", "layer4.0.conv1.weight"):
        del state[name]
    state["layer1.0.conv1.weight"] = torch.zeros(1, 1, 3, 3)
    save_file(state, tmp_path / "w.safetensors")
    refused(
        "bn1.bias missing; bn1.running_mean missing; bn1.weight missing and 2 more .train.log",
        tmp_path / "w.safetensors",
    )
    assert "layer4.0.conv1.weight missing; layer1.0.conv1.weight is [1, 1" in caplog.text


@pytest.mark.parametrize("family", FAMILIES)
def test_the_weights_of_another_network_are_one_line(family, tmp_path):
    name, size = FAMILIES[family]
    other = "tiny_vgg" if family != "vgg" else NAME
    state = timm.create_model(other).state_dict()
    torch.save(state, tmp_path / "w.pth")
    net = Backbone(name=name, weights=str(tmp_path / "w.pth"), size=size)
    with pytest.raises(RegraftError, match="does not fit the backbone: .* missing;"):
        net.graft(pretrained=[0])


def test_names_of_another_library_are_shown_beside_those_of_the_network(tmp_path):
    torch.save(torchvision.models.mobilenet_v3_small().state_dict(), tmp_path / "w.pth")
    refused(
        "missing .*; its tensors have names as features.0.0.weight and features.0.1.weight, "
        "and those of the network as conv_stem.weight and bn1.weight; name weights of this",
        tmp_path / "w.pth",
        name="mobilenetv3_small_100",
    )


# Of torchvision's networks, those that timm has, too, and knows by torchvision's names.
TORCHVISION = {
    "resnet18": "resnet18",
    "resnext50_32x4d": "resnext50_32x4d",
    "wide_resnet50_2": "wide_resnet50_2",
    "densenet121": "densenet121",
    "inception_v3": "inception_v3.tv_in1k",
    **{name: name for name in ("vgg11", "vgg11_bn", "vgg13", "vgg16", "vgg16_bn", "vgg19")},
}


@pytest.mark.parametrize("name", TORCHVISION)
def test_every_tensor_of_torchvisions_network_has_its_place(name):
    options = {"init_weights": False} if name == "inception_v3" or "vgg" in name else {}
    with torch.device("meta"):  # sizes alone
        theirs = getattr(torchvision.models, name)(**options).state_dict()
        net = create(TORCHVISION[name], None)
    state = weights._fit(theirs, net, net.pretrained_cfg, "file", ())
    assert {n: t.shape for n, t in state.items()} == {
        n: t.shape for n, t in net.state_dict().items()
    }


@torch.no_grad()
@pytest.mark.parametrize(
    ("name", "ours"), [("regnet_x_400mf", "regnetx_004_tv"), ("regnet_y_400mf", "regnety_004")]
)
def test_torchvisions_weights_do_in_timms_network_what_they_did(tmp_path, name, ours):
    torch.manual_seed(0)
    theirs = getattr(torchvision.models, name)()
    theirs.fc = nn.Identity()
    torch.save({"net": theirs.state_dict()}, tmp_path / "w.pth")
    net = Backbone(name=ours, weights=str(tmp_path / "w.pth"), size=64)
    net.graft(pretrained=everything(net))
    batch = torch.randn(2, 3, 64, 64)
    torch.testing.assert_close(net.eval()(batch), theirs.eval()(batch))


@pytest.mark.parametrize("family", FAMILIES)
def test_the_whole_network_of_a_task_fits_and_its_head_is_said(family, tmp_path, caplog):
    caplog.set_level(logging.INFO, "regraft")
    name, size = FAMILIES[family]
    options = {"img_size": size} if family in ("vit", "swin") else {}
    whole = timm.create_model(name, num_classes=7, **options)
    torch.save(whole.state_dict(), tmp_path / "w.pth")
    net = Backbone(name=name, weights=str(tmp_path / "w.pth"), size=size)
    net.graft(pretrained=everything(net))
    state = whole.state_dict()
    assert all(torch.equal(t, state[n]) for n, t in net.net.state_dict().items())
    heads = sorted(state.keys() - net.net.state_dict().keys())
    assert heads
    for head in heads:
        assert f"{head} {[*state[head].shape]}" in caplog.text
    assert caplog.text.count("left out, as no part of the trunk") == 1


def test_tensors_that_have_no_place_are_refused(donor, tmp_path, caplog):
    caplog.set_level(logging.INFO, "regraft")
    names = [f"layer{n}.0.conv1.weight" for n in (5, 6, 7, 8)]
    save_file(stored(donor) | {n: torch.zeros(1) for n in names}, tmp_path / "w.safetensors")
    text = refused("4 tensors have no place in the backbone: ", tmp_path / "w.safetensors")
    assert "; ".join(names[:3]) + " and 1 more (train.log lists all)" in text
    assert "; ".join(names) in caplog.text


def test_a_deeper_network_of_the_family_is_no_source(tmp_path):
    torch.save(timm.create_model("resnet34").state_dict(), tmp_path / "w.pth")
    refused("tensors have no place in the backbone: layer1.2", tmp_path / "w.pth", name="resnet18")


def test_a_shallower_one_is_none_either_when_the_stem_alone_is_wanted(tmp_path):
    torch.save(timm.create_model("resnet18").state_dict(), tmp_path / "w.pth")
    refused("layer1.2.bn1.bias missing", tmp_path / "w.pth", name="resnet34")


def test_masks_and_indices_that_timm_leaves_out_are_no_obstacle(tmp_path):
    net = Backbone(name="tiny_swin")
    state = net.net.state_dict()
    more = {
        "layers.0.blocks.1.attn_mask": torch.zeros(4, 16, 16),
        "layers.0.blocks.0.attn.relative_position_index": torch.zeros(16, 16),
    }
    torch.save(state | more, tmp_path / "w.pth")
    other = Backbone(name="tiny_swin", weights=str(tmp_path / "w.pth"))
    other.graft(pretrained=everything(other))
    assert same(other, net)


def test_tensors_that_timm_cannot_make_sense_of_are_one_line(tmp_path):
    """Its loader of Swin looks for the module of each table, and fails if there is none."""
    extra = "layers.7.blocks.0.attn.relative_position_bias_table"
    torch.save(
        Backbone(name="tiny_swin").net.state_dict() | {extra: torch.zeros(49, 1)},
        tmp_path / "w.pth",
    )
    refused(
        f"1 tensors have no place in the backbone: {extra};", tmp_path / "w.pth", name="tiny_swin"
    )


def original(name):
    """What the authors of ConvNeXt call a tensor."""
    name = name.replace("stem.", "downsample_layers.0.").replace(".blocks.", ".")
    name = re.sub(r"stages\.(\d)\.downsample", r"downsample_layers.\1", name)
    name = name.replace("conv_dw", "dwconv").replace("mlp.fc", "pwconv")
    return name.replace("head.norm", "norm").replace("head.fc", "head")


def test_the_names_that_authors_gave_are_translated_by_timm(tmp_path):
    whole = timm.create_model("convnext_atto")  # with the blocks of the paper's
    state = {original(name): tensor for name, tensor in whole.state_dict().items()}
    assert "downsample_layers.1.0.weight" in state and "norm.weight" in state
    torch.save({"model": state}, tmp_path / "w.pth")
    net = Backbone(name="convnext_atto", weights=str(tmp_path / "w.pth"), size=64)
    net.graft(pretrained=everything(net))
    assert all(torch.equal(t, whole.state_dict()[n]) for n, t in net.net.state_dict().items())


def test_names_that_are_alike_by_chance_are_no_wrapper(donor, tmp_path, monkeypatch):
    state = donor.net.state_dict()
    theirs = {name: f"other.{number}" for number, name in enumerate(state)}
    theirs["bn1.bias"] = "deep.inside.bn1.bias"
    module = importlib.import_module(type(donor.net).__module__)
    monkeypatch.setattr(
        module,
        "checkpoint_filter_fn",
        lambda found, _: {name: found[theirs[name]] for name in theirs},
        raising=False,
    )
    foreign = {theirs[name]: tensor for name, tensor in state.items()}
    beside = {f"deep.inside.{name}": torch.zeros(1) for name in "ab"}
    torch.save(foreign | beside, tmp_path / "w.pth")
    net = backbone(tmp_path / "w.pth")
    net.graft(pretrained=everything(net))
    assert same(net, donor)


@pytest.mark.parametrize("name", ["gcvit_xxtiny", "levit_128s", "cait_xxs24_224", "convit_tiny"])
def test_weights_that_cannot_change_size_name_the_size_that_works(tmp_path, name):
    torch.save(timm.create_model(name, num_classes=5).state_dict(), tmp_path / "w.pth")
    net = Backbone(name=name, weights=str(tmp_path / "w.pth"), size=160)
    with pytest.raises(
        RegraftError, match=f"weights of {name} cannot .* work for backbone.size=224"
    ):
        net.graft(pretrained=[0])
    own = Backbone(name=name, weights=str(tmp_path / "w.pth"))
    own.graft(pretrained=everything(own))
    assert own.input.size == (224, 224)


def test_weights_that_were_trained_at_another_size_name_it(tmp_path):
    state = timm.create_model("convit_tiny", num_classes=5, img_size=160).state_dict()
    torch.save(state, tmp_path / "w.pth")
    net = Backbone(name="convit_tiny", weights=str(tmp_path / "w.pth"))
    with pytest.raises(RegraftError, match=r"backbone.size=224: .* backbone.size=160 .null: 224"):
        net.graft(pretrained=[0])


def test_files_from_before_batch_norm_counted_fit(donor, tmp_path):
    state = {n: t for n, t in stored(donor).items() if "num_batches_tracked" not in n}
    save_file(state, tmp_path / "w.safetensors")
    net = backbone(tmp_path / "w.safetensors")
    net.graft(pretrained=everything(net))
    assert same(net, donor)


def twice(donor, nested):
    """A teacher and a student who knows nothing, in dicts of their own or by their names."""
    teacher = donor.net.state_dict()
    both = {"student": {n: torch.zeros_like(t) for n, t in teacher.items()}, "teacher": teacher}
    if nested:
        return {"epoch": 3, "dino_loss": {"center": torch.zeros(1)}, **both}
    return {f"{part}.{name}": t for part, state in both.items() for name, t in state.items()}


def test_a_file_with_the_network_twice_may_lack_torchs_counters(donor, tmp_path):
    state = {n: t for n, t in donor.net.state_dict().items() if "num_batches" not in n}
    path = tmp_path / "w.pth"
    torch.save({f"{who}.{n}": t for who in ("student", "teacher") for n, t in state.items()}, path)
    refused("holds the network several times, as student; teacher; say which with", path)


@pytest.mark.parametrize(
    ("made", "how"),
    [
        (lambda t: t.to("meta"), "without values"),
        (lambda t: t.to(torch.int8), "int8"),
        (lambda t: t.to(torch.complex64), "complex64"),
    ],
)
def test_tensors_whose_values_would_not_be_copied_are_refused(donor, tmp_path, made, how):
    """torch's own words take a page; and int8 was read as if it were the weight."""
    state = donor.net.state_dict()
    path = tmp_path / "w.pth"
    first = next(iter(state))
    torch.save({**state, first: made(state[first])}, path)
    refused(f"cannot be copied: {first} is {how};", path)


@pytest.mark.parametrize("nested", [False, True])
def test_a_network_that_is_there_twice_is_chosen_by_its_key(donor, tmp_path, nested):
    path = tmp_path / "dino.pth"
    torch.save(twice(donor, nested), path)
    text = refused("holds the network several times, as student; teacher; say which with", path)
    assert text.endswith("backbone.weights_key=student")
    net = Backbone(name=NAME, weights=str(path), weights_key="teacher", size=64)
    net.graft(pretrained=everything(net))
    assert same(net, donor)
    net = Backbone(name=NAME, weights=str(path), weights_key="techer", size=64)
    with pytest.raises(
        RegraftError, match=r"^backbone.weights_key=techer: .*did you mean 'teacher'"
    ):
        net.graft(pretrained=[0])


NESTED = {
    "net": lambda state: {"net": state, "acc": 91.0},
    "backbone": lambda state: {"backbone": {f"module.{n}": t for n, t in state.items()}},
    "optimizer": lambda state: {
        "weights": state,
        "optimizer": {"state": {0: {"exp_avg": torch.zeros(3)}}, "lr": torch.zeros(1)},
    },
    "deep": lambda state: {"ckpt": {"trainer": {"model": state}}},
    "ema": lambda state: {
        "state_dict": {n: torch.zeros_like(t) for n, t in state.items()},
        "state_dict_ema": state,
    },
    "beside": lambda state: {**state, "epoch": 3, "best": 0.9},
}


@pytest.mark.parametrize("wrapped", NESTED)
def test_the_one_network_in_a_file_is_found_wherever_it_lies(donor, tmp_path, wrapped):
    torch.save(NESTED[wrapped](donor.net.state_dict()), tmp_path / "w.pth")
    net = backbone(tmp_path / "w.pth")
    net.graft(pretrained=everything(net))
    assert same(net, donor)


@pytest.mark.parametrize("name", ["w.pth", "w.safetensors", "w", "w.bin", "w.zip"])
@pytest.mark.parametrize("kind", ["torch", "legacy", "safetensors"])
def test_a_file_is_known_by_its_content_not_by_its_name(donor, tmp_path, name, kind):
    if kind == "safetensors":
        save_file(stored(donor), tmp_path / name)
    else:
        torch.save(stored(donor), tmp_path / name, _use_new_zipfile_serialization=kind == "torch")
    net = backbone(tmp_path / name)
    net.graft(pretrained=everything(net))
    assert same(net, donor)


def zipped(*names):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in names:
            archive.writestr(name, "x")
    return buffer.getvalue()


def tarred():
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("w.pth"))
    return buffer.getvalue()


def scripted():
    buffer = io.BytesIO()
    torch.jit.save(torch.jit.trace(nn.Linear(2, 2), torch.zeros(1, 2)), buffer)
    return buffer.getvalue()


NO_WEIGHTS = {
    "empty": (lambda: b"", "it is empty; download or copy it again"),
    "lfs": (
        lambda: b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 46830571\n",
        "it is a pointer of Git LFS, which stands for a file that was not fetched; run `git lfs",
    ),
    "html": (lambda: b"\n<!DOCTYPE HTML><title>Sign in", "it is a page of HTML: a server's answer"),
    "xml": (lambda: b"<?xml version='1.0'?><Error>AccessDenied", "it is XML: a server's answer"),
    "json": (lambda: b'{"error": "Repository not found"}', "it is JSON; download the file itself"),
    "index": (
        lambda: b'{"weight_map": {"a": "one.bin", "b": "two.bin", "c": "two.bin"}}',
        "it is JSON, the index of weights in 2 files (one.bin; two.bin)",
    ),
    "zip": (lambda: zipped("a/w.pth", "b.txt"), "it is a zip archive (a/w.pth; b.txt); unpack it"),
    "npz": (lambda: zipped("a.npy", "b.npy"), "it is arrays of NumPy, as JAX programs keep them"),
    "gzip": (lambda: gzip.compress(b"x"), "it is compressed with gzip; unpack it first"),
    "tar": (tarred, "it is a tar archive; unpack it first"),
    "keras": (
        lambda: b"\x89HDF\r\n\x1a\n",
        "it is HDF5, as Keras writes it; give weights of PyTorch",
    ),
    "gguf": (lambda: b"GGUF\3\0\0\0", "it is GGUF, as llama.cpp reads it; give weights of"),
    "script": (scripted, "it is a program of TorchScript; torch.save its state_dict() alone"),
}


@pytest.mark.filterwarnings(
    "ignore:.*torch.jit:FutureWarning", "ignore:.*torch.jit:DeprecationWarning"
)
@pytest.mark.parametrize("name", ["w.pth", "w.safetensors"])
@pytest.mark.parametrize("kind", NO_WEIGHTS)
def test_a_file_of_something_else_is_named(tmp_path, kind, name):
    made, match = NO_WEIGHTS[kind]
    (tmp_path / name).write_bytes(made())
    refused(re.escape(match), tmp_path / name)


def test_a_pickle_that_torch_did_not_write_is_one_line(donor, tmp_path):
    (tmp_path / "w.pkl").write_bytes(pickle.dumps({"a": [1, 2]}))
    refused("damaged or no file of tensors", tmp_path / "w.pkl")


def test_weights_of_the_hub_that_are_none_are_to_be_fetched_again(monkeypatch, tmp_path):
    (tmp_path / "w").write_bytes(b"<html>proxy</html>")
    net = Backbone(name="fractal_resnet", weights="pretrained")
    monkeypatch.setitem(net.net.pretrained_cfg, "file", str(tmp_path / "w"))
    with pytest.raises(RegraftError, match="is damaged .a page of HTML.*; remove it, and the next"):
        net.graft(pretrained=[0])


def test_stages_that_a_run_had_dropped_may_be_missing_if_they_are_made_anew(donor, tmp_path):
    gone = [name for stage in donor.stages[3:] for name in stage.tensors]
    save_file({n: t for n, t in stored(donor).items() if n not in gone}, tmp_path / "w.safetensors")
    net = backbone(tmp_path / "w.safetensors")
    net.graft(pretrained=[0, 1, 2])
    for index in (0, 1, 2):
        for name, parameter in net.stage_parameters(index).items():
            assert torch.equal(parameter, donor.stage_parameters(index)[name])
    refused("layer3.0.bn1.bias missing", tmp_path / "w.safetensors", stages=[0, 1, 2, 3])


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
def test_a_folder_of_the_hub_is_read(donor, tmp_path, name):
    if name == "model.safetensors":
        save_file(stored(donor), tmp_path / name)
        torch.save({}, tmp_path / "pytorch_model.bin")  # the same in an older format, by convention
    else:
        torch.save(stored(donor), tmp_path / name)
    net = backbone(tmp_path)
    found = net.graft(pretrained=everything(net))
    assert same(net, donor)
    assert found.source == str(tmp_path / name)


def test_a_folder_that_timm_has_saved_is_read_with_its_licence(tmp_path):
    whole = timm.create_model(NAME, num_classes=5)
    save_for_hf(whole, tmp_path)
    net = backbone(tmp_path)
    found = net.graft(pretrained=everything(net))
    assert all(torch.equal(t, whole.state_dict()[n]) for n, t in net.net.state_dict().items())
    assert found.license == "apache-2.0"


@pytest.mark.parametrize(
    ("files", "match"),
    [
        ([], "there are no weights in it"),
        (["a.pth", "b.pth"], "name one of a.pth; b.pth"),
        (["0/checkpoints/best.ckpt", "1/checkpoints/best.ckpt"], "name one of 0/checkpoints/best"),
        (["checkpoints/last.ckpt"], "name one of checkpoints/last.ckpt"),
        (
            ["model.safetensors", "checkpoints/best.ckpt"],
            "holds model.safetensors and checkpoints/best.ckpt; name the file",
        ),
    ],
)
def test_a_folder_that_means_no_file_is_one_line(tmp_path, files, match):
    for file in files:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).touch()
    refused(match, tmp_path)


@pytest.fixture
def no_network(monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("a socket is wanted")

    monkeypatch.setattr("socket.socket", refuse)
    monkeypatch.setattr("socket.getaddrinfo", refuse)


class Other(pl.LightningModule):
    """What somebody else's project trains: a whole network, a loss with a tensor, settings."""

    def __init__(self, attribute, settings):
        super().__init__()
        self.save_hyperparameters("settings" if isinstance(settings, dict) else settings)
        setattr(self, attribute, timm.create_model(NAME, num_classes=5))
        self.loss = nn.CrossEntropyLoss(weight=torch.ones(5))


def others_checkpoint(path, attribute, settings):
    module = Other(attribute, settings)
    trainer = pl.Trainer(
        accelerator="cpu", logger=False, enable_checkpointing=False, enable_model_summary=False
    )
    trainer.strategy.connect(module)
    trainer.save_checkpoint(path)
    return getattr(module, attribute).state_dict()


@pytest.mark.parametrize("attribute", ["model", "net"])
@pytest.mark.parametrize(
    "settings", [{"lr": 0.1, "layers": [1, 2]}, argparse.Namespace(lr=0.1, name="x")]
)
def test_a_lightning_checkpoint_of_others_is_read(tmp_path, attribute, settings, no_network):
    state = others_checkpoint(tmp_path / "o.ckpt", attribute, settings)
    assert torch.load(tmp_path / "o.ckpt", weights_only=True)["hyper_parameters"]
    net = backbone(tmp_path / "o.ckpt")
    net.graft(pretrained=everything(net))
    assert all(torch.equal(t, state[n]) for n, t in net.net.state_dict().items())


def test_a_lightning_checkpoint_with_objects_is_refused_by_their_names(tmp_path):
    others_checkpoint(tmp_path / "o.ckpt", "model", OmegaConf.create({"lr": 0.1}))
    text = refused("holds objects .*omegaconf.*could run code", tmp_path / "o.ckpt")
    assert f"torch.load('{tmp_path}/o.ckpt', weights_only=False)" in text
    assert "model.state_dict()" in text


def test_a_checkpoint_of_timm_is_read_with_its_average(donor, tmp_path):
    worse = {name: torch.zeros_like(tensor) for name, tensor in donor.net.state_dict().items()}
    kept = {"state_dict": worse, "state_dict_ema": donor.net.state_dict(), "epoch": 3}
    torch.save({**kept, "args": argparse.Namespace(lr=0.1)}, tmp_path / "last.pth.tar")
    net = backbone(tmp_path / "last.pth.tar")
    net.graft(pretrained=everything(net))
    assert same(net, donor)


class Payload:
    def __reduce__(self):
        return (print, ("run",))


def test_a_pickle_that_would_run_code_is_refused(tmp_path, capsys):
    torch.save({"state_dict": Payload()}, tmp_path / "w.pth")
    net = backbone(tmp_path / "w.pth")
    with pytest.raises(RegraftError, match="could run code"):
        net.graft(pretrained=[0])
    assert "run" not in capsys.readouterr().out


@pytest.mark.parametrize("legacy", [False, True])
def test_the_objects_of_a_refused_pickle_are_named(tmp_path, legacy):
    torch.save({"a": Payload()}, tmp_path / "w.pth", _use_new_zipfile_serialization=not legacy)
    refused("holds objects .*print", tmp_path / "w.pth")


@pytest.mark.parametrize("name", ["w.pth", "w.safetensors"])
def test_a_damaged_file_is_one_line(donor, tmp_path, name):
    path = tmp_path / name
    path.write_bytes(b"not weights at all")
    refused(f"{name} is damaged or no file of tensors .*; give a safetensors file", path)

    save_file(stored(donor), path) if "safe" in name else torch.save(stored(donor), path)
    path.write_bytes(path.read_bytes()[:-3000])
    refused(f"{name} is damaged", path)


def test_a_file_without_tensors_is_one_line(tmp_path):
    torch.save({"epoch": 3, "state_dict": ["a"]}, tmp_path / "w.pth")
    refused("holds no state dict", tmp_path / "w.pth")


def test_weights_that_lie_elsewhere_are_named_with_their_address():
    net = Backbone(name="legacy_seresnet18.in1k", weights="pretrained", size=64)
    with pytest.raises(RegraftError, match="not on the hub; download https://.*seresnet18"):
        net.graft(pretrained=[0])


def test_a_model_without_published_weights_is_one_line():
    net = Backbone(name="test_vit4", weights="pretrained", size=64)
    net.net.pretrained_cfg = {}
    with pytest.raises(RegraftError, match="timm publishes no weights for test_vit4"):
        net.graft(pretrained=[0])


@pytest.mark.parametrize(
    ("licence", "warned"), [("cc-by-nc-4.0", 1), ("other", 1), ("Apache-2.0", 0), (None, 0)]
)
def test_a_licence_that_forbids_things_is_named_once(licence, warned, monkeypatch, caplog):
    weights._warn_of.cache_clear()
    net = Backbone(name="fractal_resnet", weights="pretrained")
    monkeypatch.setitem(net.net.pretrained_cfg, "license", licence)
    for _ in range(2):
        found = net.graft(pretrained=[0])
        assert (found.license, found.source) == (licence, "fractal_resnet.safetensors")
    assert caplog.text.count("licence") == warned
    if warned:
        assert f"has the licence {licence}" in caplog.text


@pytest.mark.parametrize("key", ["mean", "std", "interpolation"])
def test_weights_that_saw_other_images_are_refused(key, donor, tmp_path):
    seen = {**vars(donor.input), key: "nearest" if key == "interpolation" else (0.9, 0.9, 0.9)}
    torch.save({"state_dict": stored(donor), "regraft": {"input": seen}}, tmp_path / "a.ckpt")
    refused(
        f"trained on images of {key} .*nearest|trained on images of {key} .*0.9",
        tmp_path / "a.ckpt",
    )


def test_a_folder_says_which_images_its_weights_saw(donor, tmp_path):
    save_file(stored(donor), tmp_path / "model.safetensors")
    config = {"pretrained_cfg": {"mean": list(donor.input.mean), "std": [0.9, 0.9, 0.9]}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    refused(r"trained on images of std \[0.9, 0.9, 0.9\]", tmp_path)
    config["pretrained_cfg"]["std"] = list(donor.input.std)
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert backbone(tmp_path).graft(pretrained=[0]) is not None


def test_another_size_is_the_users_choice(donor, tmp_path):
    seen = {**vars(donor.input), "size": (128, 128)}
    torch.save({"state_dict": stored(donor), "regraft": {"input": seen}}, tmp_path / "a.ckpt")
    assert backbone(tmp_path / "a.ckpt").graft(pretrained=[0]) is not None


@pytest.mark.parametrize(
    ("asked", "source", "method", "said"),
    [
        ("pretrained", "timm/resnet18.a1_in1k", None, "resnet18.a1_in1k"),
        ("random", None, None, "resnet18.random"),
        ("pretrained", None, None, "resnet18.random"),  # of strategy=scratch, which reads none
        ("/x/mine.pth", "/x/mine.pth", None, "resnet18.mine"),
        ("/x/team", "/x/team/model.safetensors", None, "resnet18.team"),
        ("/x/12-30", "/x/12-30/checkpoints/best.ckpt", None, "resnet18.12-30"),
        ("/x/12-30/4", "/x/12-30/4/checkpoints/best.ckpt", None, "resnet18.12-30/4"),
        ("/x/pretrained.safetensors", "/x/pretrained.safetensors", "simclr", "resnet18.simclr"),
    ],
)
def test_a_network_is_called_by_the_weights_that_it_has(asked, source, method, said):
    loaded = source and weights.Weights(source, "", None, {}, method=method)
    assert weights.label("resnet18.a1_in1k", asked, loaded) == said
