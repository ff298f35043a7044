"""The phase before a training with labels, as a job has it."""

import json
import os
import shutil

import numpy as np
import pytest
import torch
from jobs import composed, run_job
from PIL import Image
from rich.console import Console
from safetensors.torch import load_file
from scipy.stats import binomtest

from regraft import card
from regraft.backbone import Backbone
from regraft.collect import QUIET
from regraft.data.sources import digits
from regraft.errors import RegraftError
from regraft.fingerprint import fingerprint
from regraft.jobs import read_answers
from regraft.rebuild import config_of, frozen

FAST = ("logger=none", "data.per_class=5", "trainer.max_epochs=1", "backbone=sigmoid_mlp")
LAYERWISE = (*FAST, "pretrain=layerwise", "pretrain.epochs=1")
WHOLE = {"split_seed": 0, "fold": None, "folds": 5, "per_class": None, "fraction": None}


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("REGRAFT_CACHE", str(tmp_path / "cache"))


def result(folder):
    return json.loads((folder / "result.json").read_text())


def refused(match, folder, *words):
    with pytest.raises(RegraftError, match=match) as error:
        run_job(folder, *words)
    assert "\n" not in str(error.value)


@pytest.mark.slow
def test_a_job_makes_its_weights_once_and_another_takes_them(tmp_path, capsys):
    run_job(tmp_path / "first", *LAYERWISE)
    made = tmp_path / "first" / "pretrained.safetensors"
    known, found = card.read(made), result(tmp_path / "first")

    # The card says what it was made of: all training images, none to judge on, no label.
    train = digits(0, **WHOLE).train
    assert known["data"]["images"] == len(train) == 1259
    assert known["data"]["fingerprint"] == fingerprint(train.images)
    assert known["data"]["labels"] is False
    assert (known["method"], known["backbone"], known["seed"]) == ("layerwise", "sigmoid_mlp", 0)
    assert known["settings"]["epochs"] == 1 and known["settings"]["corruption"] == 0.3
    assert known["input"]["size"] == [16, 16]
    assert {"regraft", "torch"} <= known["versions"].keys()
    assert [part["stages"] for part in known["learned"]] == ["stem", "stage1", "stage2"]
    assert card.sha256_of(made) == known["sha256"]
    # And the result says what the training began with.
    assert found["weights"] == {
        "source": str(made),
        "sha256": known["sha256"],
        "license": None,
        "method": "layerwise",
    }
    assert (found["pretrain"]["cache"], found["pretrain"]["card"]) == ("miss", known)
    assert found["data"]["train"] == 50
    assert "pretrained: layerwise on 1,259 digits images without labels, made" in (
        capsys.readouterr().out
    )

    # A second job, with other labels, another head and other steps, has it from the cache; and
    # since no random number depends on that, the same job again ends with the same numbers.
    (kept,) = (tmp_path / "cache" / "pretrained").glob("*/trunk.json")
    os.utime(kept, (0, 0))
    run_job(tmp_path / "second", *LAYERWISE, "data.per_class=3", "head=linear")
    assert kept.stat().st_mtime > 0  # it is in use
    assert result(tmp_path / "second")["pretrain"]["cache"] == "hit"
    assert result(tmp_path / "second")["weights"]["sha256"] == known["sha256"]
    run_job(tmp_path / "again", *LAYERWISE)
    assert result(tmp_path / "again")["pretrain"]["cache"] == "hit"
    assert result(tmp_path / "again")["metrics"] == found["metrics"]

    # The file serves other runs, which read the card.
    run_job(tmp_path / "third", *FAST, f"backbone.weights='{made}'")
    third = result(tmp_path / "third")
    assert third["weights"] == found["weights"]
    assert third["metrics"] == found["metrics"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "other", ["pretrain.corruption=0.5", "seed=1", "features.dtype=float32", "features=off"]
)
def test_another_value_of_anything_is_made_anew(other, tmp_path):
    run_job(tmp_path / "first", *LAYERWISE)
    run_job(tmp_path / "second", *LAYERWISE, other)
    assert result(tmp_path / "second")["pretrain"]["cache"] == "miss"
    first, second = (result(tmp_path / name)["weights"]["sha256"] for name in ("first", "second"))
    assert first != second


@pytest.mark.slow
def test_damaged_weights_in_the_cache_are_made_again(tmp_path, caplog):
    run_job(tmp_path / "first", *LAYERWISE)
    (kept,) = (tmp_path / "cache" / "pretrained").glob("*/trunk.safetensors")
    content = kept.read_bytes()
    kept.unlink()  # the run's own shares its bytes
    kept.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    run_job(tmp_path / "second", *LAYERWISE)
    assert result(tmp_path / "second")["pretrain"]["cache"] == "miss"
    assert "damaged" in caplog.text
    assert result(tmp_path / "second")["metrics"] == result(tmp_path / "first")["metrics"]


@pytest.mark.slow
def test_a_run_that_goes_on_takes_the_weights_in_its_folder(tmp_path):
    run_job(tmp_path / "run", *LAYERWISE, "trainer.max_epochs=2")
    before = result(tmp_path / "run")
    (tmp_path / "run" / "result.json").write_text(json.dumps({**before, "status": "failed"}))
    shutil.rmtree(tmp_path / "cache")
    run_job(tmp_path / "run", *LAYERWISE, "trainer.max_epochs=2", "resume=auto")
    after = result(tmp_path / "run")
    assert (after["pretrain"]["cache"], after["metrics"]) == ("hit", before["metrics"])
    assert after["pretrain"]["seconds"] > before["pretrain"]["seconds"]  # of both, as cost/wall_s


@pytest.mark.slow
def test_a_run_is_built_again_with_its_own_weights(tmp_path):
    """As regraft forecast does, from the folder, without the phase."""
    run_job(tmp_path / "run", *LAYERWISE)
    cfg = config_of(tmp_path / "run")
    listing = result(tmp_path / "run")["data"]["listing"]
    again = frozen(cfg, listing, Console(quiet=True), QUIET)
    made = load_file(tmp_path / "run" / "pretrained.safetensors")
    kept = again.classifier.backbone.net.state_dict()
    assert all(torch.equal(kept[name], tensor) for name, tensor in made.items())

    # Never with others: neither what lies in the folder of a run without the phase, nor, where the
    # file is gone, what the phase began with.
    cfg.pretrain = None
    other = frozen(cfg, listing, Console(quiet=True), QUIET).classifier.backbone.net.state_dict()
    assert not all(torch.equal(other[name], tensor) for name, tensor in made.items())
    (tmp_path / "run" / "pretrained.safetensors").unlink()
    with pytest.raises(RegraftError, match="pretrained.safetensors"):
        frozen(config_of(tmp_path / "run"), listing, Console(quiet=True), QUIET)


@pytest.mark.slow
def test_a_run_never_shares_a_file_with_the_package(tmp_path, monkeypatch):
    """Whoever overwrites the run's would damage the package's."""

    def link(*_):
        raise AssertionError("linked")

    monkeypatch.setattr("os.link", link)
    words = [word for word in FAST if word != "backbone=sigmoid_mlp"]
    run_job(tmp_path / "run", *words, "pretrain=fractals", "backbone.size=32")
    assert card.is_intact(tmp_path / "run" / "pretrained.safetensors")


@pytest.mark.slow
def test_weights_that_are_there_are_learned_on_with(tmp_path):
    words = [word for word in LAYERWISE if word != "backbone=sigmoid_mlp"]
    run_job(tmp_path / "run", *words, "backbone.size=32", "pretrain.start=weights")
    known = card.read(tmp_path / "run" / "pretrained.safetensors")
    assert known["from"]["source"] == "fractal_resnet.safetensors"
    assert known["license"] == "apache-2.0"


@pytest.mark.slow
def test_a_folder_of_unlabeled_images_but_for_those_that_judge(tmp_path, caplog):
    """A folder that is the data's own, too, whose validation and test images are left out."""
    folder_per_class(tmp_path / "data")
    loose = tmp_path / "loose" / "deep"
    loose.mkdir(parents=True)
    for number in range(7):
        picture(loose / f"{number}.png", 200 + number)
    for split in ("val", "test", "train"):
        shutil.copytree(tmp_path / "data" / split, loose / split)
    (loose / "broken.png").write_bytes(b"no image")
    (loose / "notes.txt").write_text("no image either")
    picture(loose / "@eaDir" / "thumbnail.png", 300)  # what a program has left there
    picture(loose / ".trash" / "0.png", 301)
    words = ("data=image_folder", f"data.root='{tmp_path / 'data'}'", "data.per_class=1")
    words += (f"pretrain.unlabeled='{tmp_path / 'loose'}'", "pretrain.batch_size=4")
    run_job(tmp_path / "run", *LAYERWISE, *words)
    known = card.read(tmp_path / "run" / "pretrained.safetensors")
    assert (known["data"]["name"], known["data"]["images"]) == ("loose", 7 + 6)
    assert "1 images cannot be read" in caplog.text
    assert "8 images are validation or test images" in caplog.text
    assert "is no files" not in caplog.text


@pytest.mark.slow
def test_data_that_is_no_files_cannot_be_compared_with_a_folder(tmp_path, caplog):
    for number in range(4):
        picture(tmp_path / "loose" / f"{number}.png", number)
    words = (f"pretrain.unlabeled='{tmp_path / 'loose'}'", "pretrain.batch_size=2")
    run_job(tmp_path / "run", *LAYERWISE, *words)
    assert caplog.text.count("digits is no files, so that validation and test images") == 1


def picture(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(value).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


def folder_per_class(root):
    counts, value = {"train": 3, "val": 2, "test": 2}, 0
    for split, count in counts.items():
        for name in ("a", "b"):
            for number in range(count):
                value += 1
                picture(root / split / name / f"{number}.png", value)


@pytest.mark.parametrize(
    ("words", "match"),
    [
        (["strategy=scratch"], "pretrain=layerwise would be for nothing: .*strategy=finetune"),
        (["pretrain.start=weights"], "with backbone.weights=random: there are none to start from"),
        (["pretrain.unlabeled=/nowhere"], "pretrain.unlabeled=/nowhere: no such folder"),
        (["strategy=auto"], "strategy=auto measures the weights that there are"),
        (["pretrain.corruption=1.5"], "pretrain.corruption=1.5: must be less than 1"),
        (["+pretrain.corupt=0.5"], "no such option; did you mean 'corruption'"),
    ],
)
def test_what_cannot_be_is_one_line(words, match, tmp_path):
    refused(match, tmp_path / "run", *LAYERWISE, *words)


def test_a_folder_without_images_is_one_line(tmp_path):
    (tmp_path / "empty").mkdir()
    refused(
        "0 of its 0 image files can be learned from",
        tmp_path / "run",
        *LAYERWISE,
        f"pretrain.unlabeled='{tmp_path / 'empty'}'",
    )


def test_other_methods_that_cannot_be_are_one_line(tmp_path, monkeypatch):
    words = ("logger=none", "backbone.weights=random")
    refused("choose backbone=sigmoid_mlp", tmp_path / "rbm", *words, "pretrain=rbm")
    monkeypatch.setitem(__import__("sys").modules, "lightly.loss", None)
    refused(r"pip install 'regraft\[ssl\]'", tmp_path / "simclr", *words, "pretrain=simclr")


def test_memory_that_runs_out_names_the_key(tmp_path, monkeypatch):
    def run_out(*_):
        raise MemoryError("out of memory")

    monkeypatch.setattr("regraft.pretrain.layerwise.Layerwise.learn", run_out)
    refused("64 images per batch; add pretrain.batch_size=32", tmp_path / "run", *LAYERWISE)
    assert not [*(tmp_path / "cache" / "pretrained").glob("[0-9a-f]*")]


@pytest.mark.parametrize(
    "error", [FileNotFoundError(2, "no such image"), NotImplementedError("op")]
)
def test_an_error_of_the_learning_is_none_of_the_cache(error, tmp_path, monkeypatch):
    def fail(*_):
        raise error

    monkeypatch.setattr("regraft.pretrain.layerwise.Layerwise.learn", fail)
    with pytest.raises(type(error)) as raised:
        run_job(tmp_path / "run", *LAYERWISE)
    assert raised.value is error
    assert not [*(tmp_path / "cache" / "pretrained").glob("[0-9a-f]*")]


def test_weights_that_cannot_be_kept_name_the_variable(tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("regraft.pretrain.layerwise.Layerwise.learn", lambda *_: [])
    monkeypatch.setattr("regraft.card.write", fail)
    refused("cannot be kept .*No space.*; set REGRAFT_CACHE", tmp_path / "run", *LAYERWISE)


def test_options_without_a_phase_are_nothing_but_weights(tmp_path):
    plain = composed(tmp_path / "plain")
    assert composed(tmp_path / "none", "pretrain=none") == plain
    assert plain.pretrain is None
    for option, weights in (("random", "random"), ("published", "pretrained")):
        cfg = composed(tmp_path / option, f"pretrain={option}")
        assert (cfg.backbone.weights, cfg.pretrain) == (weights, None)
    assert composed(tmp_path / "x", "pretrain=random", "backbone.weights=x").backbone.weights == "x"


def test_the_doctor_looks_at_what_will_be_learned(tmp_path):
    from regraft.doctor.job import assemble

    job = assemble(composed(tmp_path / "a", "pretrain=layerwise", "backbone.size=32"), tmp_path)
    assert isinstance(job.backbone, Backbone) and job.pretrained is None
    with pytest.raises(RegraftError, match="for nothing"):
        assemble(composed(tmp_path / "b", "pretrain=layerwise", "strategy=scratch"), tmp_path)


@pytest.mark.slow
def test_layer_by_layer_beats_random_weights_where_labels_are_few(tmp_path):
    """The main claim of docs/pretraining.md in small: four epochs, one seed, frozen features."""
    words = ("logger=none", "data.per_class=5", "min_steps=100", "backbone.size=32")
    run_job(tmp_path / "random", *words, "pretrain=random")
    run_job(tmp_path / "layerwise", *words, "pretrain=layerwise", "pretrain.epochs=4")
    random, learned = (
        read_answers(tmp_path / name / "predictions.csv").correct
        for name in ("random", "layerwise")
    )
    won, lost = int((learned & ~random).sum()), int((random & ~learned).sum())
    assert binomtest(won, won + lost).pvalue < 0.001  # McNemar's exact test
    assert learned.mean() - random.mean() > 0.1
