"""A batch that does not fit into memory: the words that would do, or half of it."""

import csv
import json

import pytest
import pytorch_lightning as pl
import torch
from jobs import run_job
from runs import TINY
from stops import go_on, same, stopped

from regraft import features
from regraft.backbone import Backbone
from regraft.classifier import Classifier
from regraft.errors import RegraftError

SIXTEEN = (*TINY, "loader.batch_size=16")  # two steps in an epoch of 24 images
FINETUNE = (*SIXTEEN, "strategy=finetune")


def refuse_more_than(images, batch):
    if batch > images:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has")


@pytest.fixture
def small_device(monkeypatch):
    """A network that takes no more than 4 images at once."""
    forward = Backbone.forward

    def limited(self, batch, *rest):
        refuse_more_than(4, len(batch))
        return forward(self, batch, *rest)

    monkeypatch.setattr(Backbone, "forward", limited)


def result(folder):
    return json.loads((folder / "result.json").read_text())


def steps(folder):
    with (folder / "metrics.csv").open(newline="") as file:
        return [int(row["step"]) for row in csv.DictReader(file)]


def test_without_leave_the_words_to_add_are_said(tmp_path, small_device):
    with pytest.raises(RegraftError) as found:
        run_job(tmp_path, *FINETUNE)
    assert str(found.value) == (
        "out of memory (CUDA out of memory. Tried to allocate 2.00 GiB): 16 images per batch do "
        "not fit; add loader.batch_size=8 trainer.accumulate_grad_batches=2, or "
        "loader.on_oom=halve"
    )
    assert result(tmp_path)["status"] == "failed"


def test_with_leave_the_batch_is_halved_and_the_steps_stay(finished_run, tmp_path, caplog, request):
    plain = finished_run(*FINETUNE)
    request.getfixturevalue("small_device")
    run_job(tmp_path, *FINETUNE, "loader.on_oom=halve")
    found = result(tmp_path)
    assert found["status"] == "finished"
    assert found["halved"] == {
        "batch_size": 4,
        "accumulate_grad_batches": 4,
        "did_not_fit": [16, 8],
    }
    assert steps(tmp_path) == steps(plain.folder) == [2]
    assert caplog.text.count("starting again with loader.batch_size=") == 2
    # What was asked for: by that it is known again when it goes on.
    assert "batch_size: 16" in (tmp_path / "config.yaml").read_text()


def test_a_job_that_goes_on_begins_with_the_batch_that_fitted(tmp_path, small_device, monkeypatch):
    words = (*FINETUNE, "loader.on_oom=halve", "trainer.max_epochs=2")
    run_job(tmp_path / "whole", *words)
    stopped(tmp_path / "run", monkeypatch, *words, step=7)
    tried, fit = [], pl.Trainer.fit

    def watched(self, model, datamodule, **more):
        tried.append(datamodule.batch_size)
        return fit(self, model, datamodule=datamodule, **more)

    monkeypatch.setattr(pl.Trainer, "fit", watched)
    go_on(tmp_path / "run", *words)
    assert tried == [4]
    same(tmp_path / "whole", tmp_path / "run")


@pytest.mark.parametrize("place", ["computing features", "judging"])
def test_memory_that_runs_out_elsewhere_is_as_good(place, tmp_path, monkeypatch):
    monkeypatch.setenv("REGRAFT_CACHE", str(tmp_path / "cache"))
    if place == "judging":
        predict = Classifier.predict_step

        def judged(self, batch, *rest):
            refuse_more_than(4, self.trainer.datamodule.batch_size)
            return predict(self, batch, *rest)

        monkeypatch.setattr(Classifier, "predict_step", judged)
    else:
        forward = features._forward

        def computed(cut, images, *rest):
            refuse_more_than(4, images.batch_size)
            return forward(cut, images, *rest)

        monkeypatch.setattr(features, "_forward", computed)
    run_job(tmp_path / "run", *TINY, "loader.on_oom=halve")
    assert result(tmp_path / "run")["halved"]["batch_size"] == 4


def test_one_image_that_does_not_fit_ends_it(tmp_path, monkeypatch):
    def forward(*_):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB. GPU 0")

    monkeypatch.setattr(Backbone, "forward", forward)
    words = ["strategy=finetune", "loader.batch_size=4", "loader.on_oom=halve"]
    with pytest.raises(RegraftError, match="not even one image at a time fits"):
        run_job(tmp_path, *TINY, *words)
    assert result(tmp_path)["halved"]["did_not_fit"] == [4, 2]


def test_other_errors_are_not_tried_again(tmp_path, monkeypatch):
    calls = []

    def forward(*_):
        calls.append(1)
        raise RuntimeError("shapes do not fit")

    monkeypatch.setattr(Backbone, "forward", forward)
    with pytest.raises(RuntimeError, match="shapes do not fit"):
        run_job(tmp_path, *FINETUNE, "loader.on_oom=halve")
    assert len(calls) == 1


def test_half_batches_train_the_same(finished_run):
    """24 images in batches of 16 are 2 steps, the last of 8: of 2 half batches there is one."""
    words = (*TINY, "head=linear", "trainer.max_epochs=3")
    words += ("optimizer=sgd", "trainer.gradient_clip_val=null")  # to which a factor matters
    whole = finished_run(*words, "loader.batch_size=16")
    halves = finished_run(*words, "loader.batch_size=8", "trainer.accumulate_grad_batches=2")
    assert steps(whole.folder) == steps(halves.folder) == [2, 4, 6]
    assert whole.result["metrics"] == pytest.approx(halves.result["metrics"], abs=1e-4)
