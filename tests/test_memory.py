"""A batch that does not fit into memory: the words that would do, or half of it."""

import csv
import json

import pytest
import torch
from jobs import composed, run_job

from regraft import features
from regraft.backbone import Backbone
from regraft.classifier import Classifier
from regraft.errors import RegraftError
from regraft.memory import halved

QUICK = ("logger=none", "data.per_class=5", "trainer.max_epochs=2", "loader.batch_size=32")


def refuse_more_than(images, batch):
    if batch > images:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has")


@pytest.fixture
def small_device(monkeypatch):
    """A network that takes no more than 8 images at once."""
    forward = Backbone.forward

    def limited(self, batch, *rest):
        refuse_more_than(8, len(batch))
        return forward(self, batch, *rest)

    monkeypatch.setattr(Backbone, "forward", limited)


def result(folder):
    return json.loads((folder / "result.json").read_text())


def steps(folder):
    with (folder / "metrics.csv").open(newline="") as file:
        return [int(row["step"]) for row in csv.DictReader(file)]


def test_without_leave_the_words_to_add_are_said(tmp_path, small_device):
    with pytest.raises(RegraftError) as found:
        run_job(tmp_path, *QUICK, "strategy=finetune")
    assert str(found.value) == (
        "out of memory (CUDA out of memory. Tried to allocate 2.00 GiB): 32 images per batch do "
        "not fit; add loader.batch_size=16 trainer.accumulate_grad_batches=2, or "
        "loader.on_oom=halve"
    )
    assert result(tmp_path)["status"] == "failed"


def test_with_leave_the_batch_is_halved_and_the_steps_stay(tmp_path, monkeypatch, caplog):
    run_job(tmp_path / "plain", *QUICK, "strategy=finetune")
    forward = Backbone.forward

    def limited(self, batch, *rest):
        refuse_more_than(8, len(batch))
        return forward(self, batch, *rest)

    monkeypatch.setattr(Backbone, "forward", limited)
    run_job(tmp_path / "halved", *QUICK, "strategy=finetune", "loader.on_oom=halve")
    found = result(tmp_path / "halved")
    assert found["status"] == "finished"
    assert found["halved"] == {
        "batch_size": 8,
        "accumulate_grad_batches": 4,
        "did_not_fit": [32, 16],
    }
    assert steps(tmp_path / "halved") == steps(tmp_path / "plain") == [2, 4]
    assert caplog.text.count("starting again with loader.batch_size=") == 2
    # What was asked for: by that it is known again when it goes on.
    assert "batch_size: 32" in (tmp_path / "halved" / "config.yaml").read_text()


@pytest.mark.parametrize("place", ["computing features", "judging"])
def test_memory_that_runs_out_elsewhere_is_as_good(place, tmp_path, monkeypatch):
    monkeypatch.setenv("REGRAFT_CACHE", str(tmp_path / "cache"))
    if place == "judging":
        predict = Classifier.predict_step

        def judged(self, batch, *rest):
            refuse_more_than(16, self.trainer.datamodule.batch_size)
            return predict(self, batch, *rest)

        monkeypatch.setattr(Classifier, "predict_step", judged)
    else:
        forward = features._forward

        def computed(cut, images, *rest):
            refuse_more_than(16, images.batch_size)
            return forward(cut, images, *rest)

        monkeypatch.setattr(features, "_forward", computed)
    run_job(tmp_path / "run", *QUICK, "loader.on_oom=halve")
    assert result(tmp_path / "run")["halved"]["batch_size"] == 16


def test_one_image_that_does_not_fit_ends_it(tmp_path, monkeypatch):
    def forward(*_):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB. GPU 0")

    monkeypatch.setattr(Backbone, "forward", forward)
    words = ["strategy=finetune", "loader.batch_size=4", "loader.on_oom=halve"]
    with pytest.raises(RegraftError, match="not even one image at a time fits"):
        run_job(tmp_path, "logger=none", "data.per_class=2", *words)
    assert result(tmp_path)["halved"]["did_not_fit"] == [4, 2]


def test_other_errors_are_not_tried_again(tmp_path, monkeypatch):
    calls = []

    def forward(*_):
        calls.append(1)
        raise RuntimeError("shapes do not fit")

    monkeypatch.setattr(Backbone, "forward", forward)
    with pytest.raises(RuntimeError, match="shapes do not fit"):
        run_job(tmp_path, *QUICK, "strategy=finetune", "loader.on_oom=halve")
    assert len(calls) == 1


@pytest.mark.parametrize(
    ("size", "accumulate", "expected"), [(64, 1, (32, 2)), (8, 4, (4, 8)), (25, 1, (12, 2))]
)
def test_a_step_keeps_its_images(size, accumulate, expected, tmp_path):
    words = [f"loader.batch_size={size}", f"trainer.accumulate_grad_batches={accumulate}"]
    cfg = composed(tmp_path, *words, "trainer.limit_train_batches=3")
    smaller = halved(cfg, size * accumulate)
    found = smaller.loader.batch_size, smaller.trainer.accumulate_grad_batches
    assert found == expected
    assert smaller.trainer.limit_train_batches == 3 * size // expected[0]
    assert smaller.trainer.limit_val_batches == 1.0
    assert cfg.loader.batch_size == size


def test_half_batches_train_the_same(tmp_path):
    """50 images in batches of 20 are 3 steps, the last of 10: of 2 half batches there is one."""
    words = ["logger=none", "data.per_class=5", "head=linear", "trainer.max_epochs=3"]
    words += ["optimizer=sgd", "trainer.gradient_clip_val=null"]  # to which a factor matters
    run_job(tmp_path / "whole", *words, "loader.batch_size=20")
    halves = ["loader.batch_size=10", "trainer.accumulate_grad_batches=2"]
    run_job(tmp_path / "halves", *words, *halves)
    assert steps(tmp_path / "whole") == steps(tmp_path / "halves") == [3, 6, 9]
    one, other = (result(tmp_path / name)["metrics"] for name in ("whole", "halves"))
    assert one == pytest.approx(other, abs=1e-4)
