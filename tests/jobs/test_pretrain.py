"""The phase before a training with labels, as a job has it."""

import json
import os
import shutil

import numpy as np
import pytest
import torch
from blobs import a_row_of_stages_each_with_a_decoder
from jobs import run_job
from PIL import Image
from rich.console import Console
from runs import TINY, filled
from safetensors.torch import load_file

from regraft import card
from regraft.collect import QUIET
from regraft.data.sources import digits
from regraft.errors import RegraftError
from regraft.fingerprint import fingerprint
from regraft.rebuild import config_of, frozen

FAST = ("logger=none", "data.per_class=5", "trainer.max_epochs=1", "backbone=sigmoid_mlp")
LAYERWISE = (*FAST, "pretrain=layerwise", "pretrain.epochs=1")
WHOLE = {"split_seed": 0, "fold": None, "folds": 5, "per_class": None, "fraction": None}


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("REGRAFT_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def first(finished_run, tmp_path):
    """A job that has made its weights, and a copy of the cache that it has left, for the next."""
    run = finished_run(*LAYERWISE)
    shutil.copytree(run.folder.parent / "cache", tmp_path / "cache")
    return run


def tiny(*words):
    return [*map(filled, (*TINY, *words))]


def result(folder):
    return json.loads((folder / "result.json").read_text())


def test_a_job_makes_its_weights_once_and_another_takes_them(first, tmp_path):
    made = first.folder / "pretrained.safetensors"
    known, found = card.read(made), first.result

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
    told = "pretrained: layerwise on 1,259 digits images without labels, made"
    assert told in first.stdout

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


class Learning(Exception):  # noqa: N818, no error
    """Is raised where a job would begin to learn, as it has not found what it looked for."""


def learning(*_):
    raise Learning


@pytest.mark.parametrize(
    "other", ["pretrain.corruption=0.5", "features.dtype=float32", "features=off"]
)
def test_another_value_of_anything_is_made_anew(other, first, tmp_path, monkeypatch):
    monkeypatch.setattr("regraft.pretrain.layerwise.Layerwise.learn", learning)
    with pytest.raises(Learning):
        run_job(tmp_path / "second", *LAYERWISE, other)


def test_another_seed_makes_other_weights(first, tmp_path):
    run_job(tmp_path / "second", *LAYERWISE, "seed=1")
    assert result(tmp_path / "second")["pretrain"]["cache"] == "miss"
    assert result(tmp_path / "second")["weights"]["sha256"] != first.result["weights"]["sha256"]


def test_damaged_weights_in_the_cache_are_made_again(first, tmp_path, caplog):
    (kept,) = (tmp_path / "cache" / "pretrained").glob("*/trunk.safetensors")
    content = kept.read_bytes()
    kept.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    run_job(tmp_path / "second", *LAYERWISE)
    assert result(tmp_path / "second")["pretrain"]["cache"] == "miss"
    assert "damaged" in caplog.text
    assert result(tmp_path / "second")["metrics"] == first.result["metrics"]


def test_a_run_that_goes_on_takes_the_weights_in_its_folder(tmp_path):
    folder = tmp_path / "run"
    run_job(folder, *LAYERWISE)
    before = result(folder)
    shutil.rmtree(tmp_path / "cache")
    (folder / "result.json").write_text(json.dumps({**before, "status": "failed"}))
    run_job(folder, *LAYERWISE, "resume=auto")
    after = result(folder)
    assert (after["pretrain"]["cache"], after["metrics"]) == ("hit", before["metrics"])
    assert after["pretrain"]["seconds"] > before["pretrain"]["seconds"]  # of both, as cost/wall_s


@pytest.mark.usefixtures("trusting")
def test_a_run_is_built_again_with_its_own_weights(finished_run, tmp_path):
    """As regraft forecast does, from the folder, without the phase."""
    finished_run(*LAYERWISE).copy(tmp_path / "run")
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


def test_a_run_never_shares_a_file_with_the_package(tmp_path, monkeypatch):
    """Whoever overwrites the run's would damage the package's."""

    def link(*_):
        raise AssertionError("linked")

    monkeypatch.setattr("os.link", link)
    run_job(tmp_path / "run", *tiny(), "pretrain=fractals")
    assert card.is_intact(tmp_path / "run" / "pretrained.safetensors")


def test_weights_that_are_there_are_learned_on_with(finished_run):
    run = finished_run(*TINY, "pretrain=layerwise", "pretrain.epochs=1", "pretrain.start=weights")
    known = card.read(run.folder / "pretrained.safetensors")
    assert known["from"]["source"] == "fractal_resnet.safetensors"
    assert known["license"] == "apache-2.0"
    assert known["data"]["images"] == 24


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


def test_a_trunk_that_was_trained_with_labels_has_a_card_too(finished_run, tmp_path):
    words = (*TINY, "backbone=sigmoid_mlp")
    run = finished_run(*words, "strategy=scratch", "callbacks=export_trunk")
    trunk = run.folder / "trunk.safetensors"
    known = card.read(trunk)
    assert card.is_intact(trunk)
    assert (known["method"], known["backbone"], known["seed"]) == ("supervised", "sigmoid_mlp", 0)
    assert (known["data"]["name"], known["data"]["images"]) == ("stripes", 24)
    assert known["settings"]["trainer"]["max_epochs"] == 1

    run_job(tmp_path / "next", *tiny("backbone=sigmoid_mlp", f"backbone.weights='{trunk}'"))
    found = result(tmp_path / "next")["weights"]
    assert (found["method"], found["sha256"]) == ("supervised", known["sha256"])


def test_inception_is_a_row_of_thirteen_stages_each_with_a_decoder():
    a_row_of_stages_each_with_a_decoder("inception")
