"""Exports of trained runs, of every family once, and of one network in every format."""

import re
import resource
import shlex
import shutil
from dataclasses import replace
from functools import cache
from pathlib import Path

import exports
import pytest
import torch
from families import FAMILIES
from PIL import Image
from runs import TINY
from sklearn.datasets import load_sample_images

from regraft import exported, trained
from regraft.errors import RegraftError
from regraft.export import formats
from regraft.export.export import export

FORMATS = ("onnx", "torch_export", "timm", "safetensors")
PLACES = [Path(module.__file__).parents[1] for module in (torch, trained)]


def says_nothing_of_this_machine(folder):
    """A stack trace would tell where this machine has what."""
    for path in folder.iterdir():
        content = path.read_bytes()
        assert not any(str(place).encode() in content for place in PLACES), path


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_is_the_same_as_safetensors(family, tmp_path):
    """And in every format nightly."""
    run = exports.make_run(tmp_path / "run", *FAMILIES[family])
    done = export(run, "safetensors", tmp_path / "out")
    assert done.parity.holds
    assert done.parity.logit > 0.1  # it does say something
    says_nothing_of_this_machine(tmp_path / "out")


@pytest.mark.parametrize("format", FORMATS)
def test_the_folder_is_all_that_is_needed_for_any_number_of_images(format, tmp_path):
    made = exports.exported(format)
    says_nothing_of_this_machine(made / "out")
    expected = trained.load(made / "run")
    model = trained.load(shutil.copytree(made / "out", tmp_path / "moved"))
    for number in (1, 3, 16):
        images = torch.randn(number, 3, 64, 64)
        with torch.inference_mode():
            found, logits = model.network(images), expected.network(images)
        assert torch.allclose(found, logits, rtol=1e-4, atol=1e-4)
        assert logits.abs().max() > 0.1
    assert (model.input, model.classes, model.calibration) == (
        expected.input,
        expected.classes,
        expected.calibration,
    )


def test_a_head_of_convolutions_on_a_network_that_is_cut_off_goes_to_onnx(tmp_path, capsys):
    run = exports.make_run(tmp_path / "run", *FAMILIES["resnet"], head="conv_mlp", dropped=2)
    assert export(run, "onnx", tmp_path / "out").parity.holds
    assert capsys.readouterr().out == ""  # the exporter tells much, if it may


@pytest.mark.parametrize("format", FORMATS)
def test_the_lines_of_the_card_run_and_say_what_regraft_says(format, tmp_path, monkeypatch, capsys):
    shutil.copytree(exports.exported(format) / "out", tmp_path / "out")
    photograph = Image.fromarray(load_sample_images().images[0])
    photograph.save(tmp_path / "out" / "photo.jpg", quality=95)
    model = trained.load(tmp_path / "out")
    picture = Image.open(tmp_path / "out" / "photo.jpg")
    with torch.inference_mode():
        images = model.input.normalize(model.input.fit(picture).unsqueeze(0))
        shares = (model.network(images) / model.calibration.temperature).softmax(1)[0]
    lines = (tmp_path / "out" / "README.md").read_text().split("```python\n")[1].split("```")[0]
    monkeypatch.chdir(tmp_path / "out")
    capsys.readouterr()
    exec(compile(lines, "README.md", "exec"), {})
    *name, share = capsys.readouterr().out.split()
    best = model.classes[int(shares.argmax())]
    assert " ".join(name) == (best if shares.max() >= 0.3 else "not sure")
    assert float(share) == pytest.approx(float(shares.max()), abs=2e-3)


@pytest.fixture
def followed(monkeypatch):
    """A run whose graph was followed already: to write it is to copy it."""
    made = exports.exported("onnx")

    def write(trained, network, folder):
        shutil.copy(made / "out" / "model.onnx", folder)

    monkeypatch.setitem(formats.FORMATS, "onnx", replace(formats.FORMATS["onnx"], write=write))
    return made / "run"


def test_what_the_page_shows_is_what_happens(
    followed, repository, tmp_path, monkeypatch, capsys, regraft
):
    """docs/export.md: its command runs, and its lines of Python say what it says."""
    page = (repository / "docs" / "export.md").read_text()
    shutil.copytree(followed, tmp_path / "runs" / "digits")
    shown = page.split("$ regraft export ")[1].split("$ ")[0]
    words, *lines = shown.strip().splitlines()
    done = regraft("export", *shlex.split(words))
    assert done.returncode == 0, done.stderr
    # Other weights and another version differ by other numbers.
    number = re.compile(r"[\d.]+(e-\d+)?\b")
    said = done.stdout.splitlines()
    assert [number.sub("#", line) for line in said] == [number.sub("#", line) for line in lines]

    [program] = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    exec(compile(program, "export.md", "exec"), {})
    assert 0 < float(capsys.readouterr().out) < 1e-2


def test_a_graph_is_read_and_compared_once(followed, monkeypatch, regraft):
    opened, open_it = [], exported.Session.__init__

    def opening(session, path):
        opened.append(path.name)
        open_it(session, path)

    monkeypatch.setattr(exported.Session, "__init__", opening)
    done = regraft("export", str(followed), "--to", "onnx", "--out", "out")
    assert done.returncode == 0, done.stderr
    assert opened == ["model.onnx"]
    assert "checked with ONNX Runtime " in done.stdout


def test_a_file_that_cannot_be_written_whole_is_one_line_and_nothing_is_left(tmp_path, monkeypatch):
    """As on a full disk, which is tried nightly; the graph is followed once for two formats."""
    run = exports.exported("safetensors") / "run"
    network = trained.load(run)
    follow = formats._program
    program = cache(lambda: follow(network, network.network))
    monkeypatch.setattr(formats, "_program", lambda *_: program())
    for format in FORMATS:
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, limits[1]))
        try:
            with pytest.raises(RegraftError) as told:
                export(run, format, tmp_path / "out")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert re.search(r"out: File too large; [^\n]*--out <folder>$", str(told.value))
        assert "\n" not in str(told.value)
        assert [*tmp_path.iterdir()] == []


def test_a_run_whose_first_stages_were_computed_once(tmp_path, finished_run):
    run = finished_run(*TINY, "strategy=finetune", "freeze=first", "freeze.stages=3")
    done = export(run.folder, "onnx", tmp_path / "out", precision=0.1)
    assert done.parity.holds
    assert done.told["metrics"]["test/acc"] > 0.1
    assert done.told["weights"]["license"] == "apache-2.0"
    tested = [row for row in run.rows("predictions.csv") if row["split"] == "test"]
    assert done.told["data"]["test"] == len(tested)
