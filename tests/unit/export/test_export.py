"""An exported folder: what is in it, what it refuses to be made of, and that it is whole."""

import json
import shutil
from dataclasses import replace

import exports
import huggingface_hub
import numpy as np
import pytest
import timm
import torch
import yaml
from PIL import Image
from timm.models import _registry as registry

from regraft import cli, exported, faults, trained
from regraft.calibration import logits_of
from regraft.card import sha256_of
from regraft.data.transforms import to_rgb
from regraft.errors import RegraftError
from regraft.export import card, formats
from regraft.export.export import export

ODD = ("a, b", 'say "x"', "zwei\nZeilen", "Übergröße", "=1+1", "[red]|*")


@pytest.fixture
def run(tmp_path):
    return exports.make_run(tmp_path / "run", "test_resnet", 64, **exports.RESULT)


def command(capsys, monkeypatch, *words):
    monkeypatch.setattr("sys.argv", ["regraft", "export", *map(str, words)])
    with pytest.raises(SystemExit) as end:
        cli.main()
    told = capsys.readouterr()
    return end.value.code or 0, told.out, told.err


def test_the_command_says_what_it_wrote_and_what_it_checked(run, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = (run, "--to", "safetensors", "--out", "a/out")
    code, out, _ = command(capsys, monkeypatch, *words)
    assert code == 0
    size, *files, checked = out.splitlines()
    assert size == "a/out/model.safetensors  1.51 MB"
    assert sorted(files) == ["a/out/README.md", "a/out/regraft.json"]
    assert checked.startswith("checked with regraft ")
    assert "logits of 8 photographs, in batches of 1, 2, 5, differ from the checkpoint's" in checked
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "run"]
    assert [p.name for p in (tmp_path / "a").iterdir()] == ["out"]


def test_whoever_may_read_the_card_may_read_the_weights(run, tmp_path):
    export(run, "safetensors", tmp_path / "out")
    weights, told = (tmp_path / "out" / name for name in ("model.safetensors", "regraft.json"))
    assert weights.stat().st_mode == told.stat().st_mode


def test_regraft_json_has_what_predict_needs_and_where_it_comes_from(run, tmp_path):
    done = export(run, "safetensors", tmp_path / "out")
    told = json.loads((tmp_path / "out" / "regraft.json").read_text())
    assert told == json.loads(json.dumps(done.told))
    assert told["classes"] == list(exports.CLASSES)
    stored = {"temperature": 1.7, "threshold": 0.3, "precision": 0.9}
    assert told["calibration"] == stored | {"images": None}  # of a run of before
    assert told["input"]["size"] == [64, 64]
    assert told["metrics"]["test/acc"] == 0.875
    assert told["choices"] == {"strategy": "finetune", "head": "linear"}
    assert told["checked"]["images"] == 8
    assert told["checked"]["largest_difference"] <= 1e-4
    assert told["sha256"] == {
        "model.safetensors": sha256_of(tmp_path / "out" / "model.safetensors")
    }
    model = trained.load(tmp_path / "out")
    first = trained.load(run)
    assert (model.input, model.classes, model.calibration) == (
        first.input,
        first.classes,
        first.calibration,
    )


def test_a_path_of_this_machine_stays_here(tmp_path):
    weights = {"source": "/home/me/secret/w.pth", "sha256": "1" * 64, "license": None}
    run = exports.make_run(tmp_path / "run", "test_resnet", 64, weights=weights)
    told = export(run, "safetensors", tmp_path / "out").told
    assert told["weights"]["source"] == "w.pth"
    assert "/home/me" not in (tmp_path / "out" / "regraft.json").read_text()


def test_of_another_checkpoint_than_the_judged_one_nothing_is_claimed(run, tmp_path):
    shutil.copy(run / "checkpoints" / "best.ckpt", run / "checkpoints" / "last.ckpt")
    export(run / "checkpoints" / "last.ckpt", "safetensors", tmp_path / "out")
    text = (tmp_path / "out" / "README.md").read_text()
    assert "It is not known how good it is" in text
    assert "pretrained weights: not known" in text
    assert json.loads((tmp_path / "out" / "regraft.json").read_text())["metrics"] == {}


def test_the_card_is_one_of_the_hub_and_shows_odd_names_as_they_are(tmp_path):
    run = exports.make_run(tmp_path / "run", "test_resnet", 64, classes=ODD, **exports.RESULT)
    export(run, "safetensors", tmp_path / "out of it")
    card = huggingface_hub.ModelCard.load(tmp_path / "out of it" / "README.md")
    assert card.data.license == "other"
    assert card.data.license_name == "dinov3-license"
    assert card.data.pipeline_tag == "image-classification"
    assert card.data.eval_results[0].metric_value == 0.875
    front = yaml.safe_load(card.content.split("---")[1])
    assert front["model-index"][0]["name"] == "out of it"
    assert "regraft predict 'out of it' photos/" in card.text
    assert "zwei Zeilen, Übergröße, =1+1, \\[red\\]\\|\\*" in card.text
    assert "on 1,200 images of pets \\[1\\]" in card.text
    assert "| accuracy | 0.875 |" in card.text
    assert "on 300 test images" in card.text
    assert "**temperature 1.7**" in card.text
    assert "largest probability of 0.3**" in card.text
    assert trained.load(tmp_path / "out of it").classes == ODD


def test_without_a_threshold_the_card_says_so(tmp_path):
    none = {"temperature": 0.5, "threshold": None, "precision": None}
    run = exports.make_run(tmp_path / "run", "test_resnet", 64, calibration=none)
    export(run, "safetensors", tmp_path / "out")
    assert "There is no threshold" in (tmp_path / "out" / "README.md").read_text()
    assert trained.load(tmp_path / "out").calibration.threshold is None


def test_another_precision_is_another_threshold(tmp_path):
    run = exports.make_run(tmp_path / "run", "test_resnet", 64, classes=ODD, **exports.RESULT)
    val, _ = exports.write_predictions(run, ODD, 400)
    done = export(run, "safetensors", tmp_path / "out", precision=0.4)
    found = trained.load(tmp_path / "out").calibration
    calibrated = found.apply(logits_of(val))
    said = ~found.abstains(calibrated.max(1))
    assert 0 < said.sum() < 400
    assert np.mean(calibrated[said].argmax(1) == 0) >= 0.4
    kept = done.told["kept"]
    assert kept["val"]["images"] == said.sum()
    assert (
        f"that keeps {kept['test']['coverage']:.1%}" in (tmp_path / "out" / "README.md").read_text()
    )


@pytest.mark.parametrize(
    ("precision", "said"),
    [
        (1.5, "give a share between 0 and 1"),
        (
            0.99999,
            "no threshold reaches it on the 40 validation images, at a level of 90%; even without",
        ),
    ],
)
def test_a_precision_that_cannot_be_is_one_line(precision, said, tmp_path):
    run = exports.make_run(tmp_path / "run", "test_resnet", 64)
    exports.write_predictions(run, exports.CLASSES, 40, true=2)
    with pytest.raises(RegraftError, match=said):
        export(run, "safetensors", tmp_path / "out", precision=precision)


@pytest.mark.parametrize("damage", ["gone", "other", "cut"])
def test_a_precision_without_predictions_is_one_line(damage, run, tmp_path):
    path = run / "predictions.csv"
    if damage == "other":
        exports.write_predictions(run, ("x", *exports.CLASSES[1:]), 5)
    if damage == "cut":
        path.write_text("split,name,true,predicted," + ",".join(f"p_{c}" for c in exports.CLASSES))
    with pytest.raises(RegraftError, match=r"predictions\.csv"):
        export(run, "safetensors", tmp_path / "out", precision=0.9)


def test_timm_reads_the_embedded_network_where_there_is_no_regraft(tmp_path, monkeypatch):
    """Where timm does not know our name of it; in a process of its own it is read nightly."""
    run = exports.make_run(tmp_path / "run", "fractal_resnet", None)
    export(run, "timm", tmp_path / "out")
    expected = trained.load(run).network.head.layers[-1].weight
    for known in ("_model_entrypoints", "_model_pretrained_cfgs", "_model_default_cfgs"):
        table = getattr(registry, known, {})
        for name in [name for name in table if name.startswith("fractal_resnet")]:
            monkeypatch.delitem(table, name)
    assert not timm.is_model("fractal_resnet")
    net = timm.create_model(f"local-dir:{tmp_path / 'out'}", pretrained=True)
    assert net.num_classes == 7
    assert torch.equal(net.get_classifier().weight, expected)


def test_timm_has_class_names_input_and_weights_by_either_of_its_ways(run, tmp_path):
    export(run, "timm", tmp_path / "out")
    told = json.loads((tmp_path / "out" / "config.json").read_text())
    assert told["label_names"] == list(exports.CLASSES)
    net = timm.create_model(f"local-dir:{tmp_path / 'out'}", pretrained=True)
    seen = timm.data.resolve_model_data_config(net)
    own = trained.load(run).input
    assert tuple(seen["input_size"]) == (3, *own.size)
    for key in ("mean", "std", "interpolation", "crop_pct", "crop_mode"):
        value = seen[key]
        assert (tuple(value) if isinstance(value, list) else value) == getattr(own, key)
    file = tmp_path / "out" / "model.safetensors"
    other = timm.create_model("test_resnet", num_classes=7, checkpoint_path=file)
    assert torch.equal(net.fc.weight, other.fc.weight)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            "run --to onx --out o",
            "--to onx: no such format; did you mean 'onnx'? (there are onnx, ",
        ),
        ("rnu --to timm --out o", "rnu: no such run, exported folder or checkpoint; did you mean"),
        ("sweep --to timm --out o", "sweep is a sweep: name one of its jobs, such as sweep/0"),
        ("empty --to timm --out o", "this run (failed) has kept no checkpoint"),
        ("run --to timm --out run", "--out run: the folder is there already; name one that"),
        ("run --to timm --out .", "--out .: the folder is there already; name one that"),
        ("run --to timm --out file", "--out file: a file is where a folder should be"),
        ("run --to timm --out file/a/b", "a file is where a folder should be; choose another"),
        ("file --to timm --out o", "file is damaged, or no checkpoint"),
        ("out --to timm --out o", "out is an exported folder: name the run that it was exported"),
    ],
)
def test_what_cannot_be_is_one_line_and_leaves_nothing(
    words, said, run, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(run, tmp_path / "sweep" / "0")
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "result.json").write_text('{"status": "failed"}')
    (tmp_path / "file").write_text("x")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "regraft.json").write_text("{}")
    before = sorted(p.name for p in tmp_path.iterdir())
    code, _, error = command(capsys, monkeypatch, *words.split())
    assert code == 1
    assert error.startswith("error: ")
    assert said in error
    assert error.count("\n") == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == before


def test_an_empty_folder_may_be_there(run, tmp_path):
    (tmp_path / "out").mkdir()
    export(run, "safetensors", tmp_path / "out")
    assert (tmp_path / "out" / "README.md").is_file()


def test_without_onnx_the_extra_is_named(run, tmp_path, monkeypatch):
    found = exported.find_spec
    monkeypatch.setattr(exported, "find_spec", lambda n: None if n == "onnxscript" else found(n))
    with pytest.raises(RegraftError, match=r"--to onnx needs onnxscript: pip install 'regraft"):
        export(run, "onnx", tmp_path / "out")


def wrong(trained, network, folder):
    network.head.layers[-1].bias.add_(0.5)
    formats._write_safetensors(trained, network, folder)
    network.head.layers[-1].bias.sub_(0.5)


def untraceable(trained, network, folder):
    raise NotImplementedError("no such operator. And a long text.")


@pytest.mark.parametrize(
    ("write", "said"),
    [
        (wrong, "what was exported is not what was trained: read by regraft .*, logits differ by"),
        (untraceable, "cannot be exported so .NotImplementedError: no such operator.; use another"),
    ],
)
def test_what_is_not_equal_or_cannot_be_written_is_not_left(
    write, said, run, tmp_path, monkeypatch
):
    made = replace(formats.FORMATS["safetensors"], write=write)
    monkeypatch.setitem(formats.FORMATS, "safetensors", made)
    with pytest.raises(RegraftError, match=said):
        export(run, "safetensors", tmp_path / "out")
    assert [p.name for p in tmp_path.iterdir()] == ["run"]


def test_only_what_an_exporter_trips_over_is_laid_to_the_format(run, tmp_path, monkeypatch):
    made = replace(formats.FORMATS["timm"], write=untraceable)
    monkeypatch.setitem(formats.FORMATS, "timm", made)
    with pytest.raises(RegraftError, match=r"so .NotImplementedError.*; use --to safetensors$"):
        export(run, "timm", tmp_path / "out")

    def mistaken(*_):
        raise TypeError("a mistake of ours")

    monkeypatch.setattr(card, "text", mistaken)
    with pytest.raises(TypeError, match="a mistake of ours"):
        export(run, "safetensors", tmp_path / "out")
    assert [p.name for p in tmp_path.iterdir()] == ["run"]


def test_the_card_says_where_plain_lines_read_another_picture_than_regraft(run, tmp_path):
    for format in ("timm", "safetensors"):
        export(run, format, tmp_path / format)
    plain, ours = ((tmp_path / name / "README.md").read_text() for name in ("timm", "safetensors"))
    assert 'convert("RGB")` drops transparency and cuts grey of 16 bits' in plain
    assert "convert(" not in ours

    deep = Image.fromarray(np.array([[0, 200, 257, 65535]], np.uint16))
    clear = Image.new("RGBA", (1, 1), (9, 9, 9, 0))
    assert np.asarray(deep.convert("RGB"))[0, :, 0].tolist() == [0, 200, 255, 255]
    assert np.asarray(to_rgb(deep))[0, :, 0].tolist() == [0, 1, 1, 255]
    assert clear.convert("RGB").getpixel((0, 0)) == (9, 9, 9)
    assert to_rgb(clear).getpixel((0, 0)) == (255, 255, 255)


def test_a_result_that_does_not_say_how_many_test_images_there_were(tmp_path):
    told = exports.RESULT | {"data": {"name": "pets"}}
    run = exports.make_run(tmp_path / "run", "test_resnet", 64, **told)
    export(run, "safetensors", tmp_path / "out")
    text = (tmp_path / "out" / "README.md").read_text()
    assert "Measured once, on test images of the same source" in text
    assert "| accuracy | 0.875 |" in text


def test_a_name_that_is_too_long_wants_a_shorter_one(run, tmp_path):
    with pytest.raises(RegraftError, match=r"the name is too long; choose a shorter --out"):
        export(run, "safetensors", tmp_path / ("x" * 300))
    told = faults.of_output(OSError(36, "File name too long", str(tmp_path / "r")), tmp_path)
    assert str(told).endswith("choose a shorter hydra.run.dir=<folder>")
