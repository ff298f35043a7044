"""Exported folders that are damaged, or were made to do harm, end in one line and run nothing."""

import io
import json
import os
import shutil
import zipfile

import exports
import pytest
import torch

from regraft import trained
from regraft.card import sha256_of
from regraft.errors import RegraftError
from regraft.export.export import export


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A run and its export, made once; whoever harms them has a copy."""
    folder = tmp_path_factory.mktemp("made")
    exports.make_run(folder / "run", "test_resnet", 64)
    export(folder / "run", "safetensors", folder / "out")
    return folder


@pytest.fixture
def run(made, tmp_path):
    return shutil.copytree(made / "run", tmp_path / "run")


@pytest.fixture
def out(made, tmp_path):
    return shutil.copytree(made / "out", tmp_path / "out")


def change(folder, **values):
    path = folder / "regraft.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_a_folder_says_what_its_run_says(run, out):
    ours, theirs = trained.load(run), trained.load(out)
    assert theirs.classes == ours.classes == exports.CLASSES
    assert theirs.input == ours.input
    assert theirs.calibration == ours.calibration
    assert ours.calibration.temperature == 1.7
    assert ours.input.mean == (0.4, 0.5, 0.6)


def test_weights_that_are_not_those_are_refused(out):
    path = out / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(RegraftError, match=r"model.safetensors is not what regraft.json says"):
        trained.load(out)
    path.unlink()
    with pytest.raises(RegraftError, match=r"model.safetensors is missing"):
        trained.load(out)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"format": "pickle"}, "its format is none of onnx, torch_export, timm, safetensors"),
        ({"format": None}, "its format is none of"),
        ({"format": ["onnx"]}, "its format is none of"),
        ({"calibration": {"heat": 1}}, "regraft.json is damaged; export the run again"),
        ({"calibration": {"temperature": -1}}, "regraft.json is damaged"),
        ({"calibration": {"temperature": "1"}}, "regraft.json is damaged"),
        ({"input": None}, "regraft.json is damaged"),
        ({"sha256": []}, "regraft.json is damaged"),
        ({"file": "../run/checkpoints/best.ckpt"}, "regraft.json is damaged"),
        ({"sha256": {"../run/result.json": "0"}}, "regraft.json is damaged"),
        ({"classes": ["a", "b"]}, "does not fit the network it names"),
        ({"config": {}}, "regraft.json is damaged"),
    ],
)
def test_a_card_that_makes_no_sense_is_one_line(values, said, out):
    change(out, **values)
    with pytest.raises(RegraftError, match=said) as found:
        trained.load(out)
    assert "\n" not in str(found.value)


@pytest.mark.parametrize(
    "values",
    [
        *({"size": wrong} for wrong in ([-1, 4], [64, 0], [64], [64.0, 64.0], 64, None, ["a", 1])),
        *({"crop_pct": wrong} for wrong in (0, -1, float("nan"), float("inf"), "1", None)),
        *({"mean": wrong} for wrong in ([0.5, 0.5], [0.5], [float("nan")] * 3, ["a"] * 3, 0.5)),
        *({"std": wrong} for wrong in ([0.5, 0.5], [0.5, 0.0, 0.5], [-1, 1, 1], [None] * 3, 1)),
    ],
)
def test_an_input_that_no_picture_can_be_fitted_to_is_one_line(values, out):
    seen = json.loads((out / "regraft.json").read_text())["input"]
    change(out, input={**seen, **values})
    with pytest.raises(RegraftError, match=r"regraft.json is damaged; export the run again"):
        trained.load(out)


@pytest.mark.parametrize("text", ["", "[]", "null", '{"a"'])
def test_a_card_that_is_none_is_one_line(text, out):
    (out / "regraft.json").write_text(text)
    with pytest.raises(RegraftError, match=r"regraft.json"):
        trained.load(out)


HARM = [
    ("backbone", {"_target_": "os.system", "command": "touch harm"}, "not from a trusted module"),
    ("backbone", {"_target_": "torch.hub.load", "repo_or_dir": "x"}, "makes no Backbone"),
    ("head", {"_target_": "torch.load", "f": "x"}, "makes no Head"),
    ("freeze", {"_target_": "regraft.head.mlp", "hidden": 2}, "makes no Plan"),
    ("head", {"_target_": "regraft.head.linear", "_partial_": True}, "only _target_ is read here"),
]


@pytest.mark.parametrize(("key", "node", "said"), HARM)
def test_a_card_builds_nothing_but_a_backbone_and_a_head(key, node, said, out):
    config = json.loads((out / "regraft.json").read_text())["config"]
    change(out, config={**config, key: node})
    with pytest.raises(RegraftError, match=said):
        trained.load(out)


@pytest.mark.parametrize(("key", "node", "said"), HARM)
def test_nor_does_a_checkpoint(key, node, said, run):
    path = run / "checkpoints" / "best.ckpt"
    checkpoint = torch.load(path, weights_only=True)
    checkpoint["regraft"]["config"][key] = node
    torch.save(checkpoint, path)
    with pytest.raises(RegraftError, match=said):
        trained.load(run)


class Harm:
    def __reduce__(self):
        return os.mkdir, ("harm",)


def test_a_file_of_torch_export_runs_nothing(out, tmp_path, monkeypatch):
    """A pickle in it is run by torch.export.load, and refused by us."""
    path = out / "model.pt2"
    torch.export.save(torch.export.export(torch.nn.Linear(2, 2), (torch.zeros(1, 2),)), path)
    with zipfile.ZipFile(path) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    listing = next(name for name in content if name.endswith("model_weights_config.json"))
    told = json.loads(content[listing])
    first = next(iter(told["config"].values()))
    first["use_pickle"] = True
    content[listing] = json.dumps(told).encode()
    pickled = io.BytesIO()
    torch.save(Harm(), pickled)
    content[f"{listing.rpartition('/')[0]}/{first['path_name']}"] = pickled.getvalue()
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in content.items():
            archive.writestr(name, data)
    change(out, format="torch_export", file="model.pt2", sha256={"model.pt2": sha256_of(path)})
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RegraftError, match=r"cannot be read without running it"):
        trained.load(out)
    assert not (tmp_path / "harm").exists()
    try:
        torch.export.load(path)
    except Exception as error:
        print(error)
    assert (tmp_path / "harm").exists()  # the payload is a real one


def test_other_files_by_the_name_of_torch_exports_are_one_line(out):
    (out / "model.pt2").write_bytes(b"no zip file")
    change(out, format="torch_export", file="model.pt2")
    with pytest.raises(RegraftError, match=r"model.pt2: its tensors cannot be read"):
        trained.load(out)


def test_a_file_that_is_no_onnx_is_one_line(out):
    (out / "model.onnx").write_bytes(b"no graph")
    change(out, format="onnx", file="model.onnx")
    with pytest.raises(RegraftError, match=r"this ONNX Runtime .* cannot read it"):
        trained.load(out)


def test_a_graph_with_other_logits_than_classes_is_one_line(out):
    helper = pytest.importorskip("onnx.helper")
    images, logits = (helper.make_tensor_value_info(n, 1, ["b", 7]) for n in ("images", "logits"))
    node = helper.make_node("Relu", ["images"], ["logits"])
    graph = helper.make_graph([node], "of seven", [images], [logits])
    model = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)])
    (out / "model.onnx").write_bytes(model.SerializeToString())
    change(out, format="onnx", file="model.onnx")
    assert len(trained.load(out).classes) == 7
    change(out, classes=["a", "b"])
    with pytest.raises(RegraftError, match=r"regraft.json is damaged"):
        trained.load(out)
