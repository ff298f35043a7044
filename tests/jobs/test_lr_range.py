"""optimizer.lr=auto finds a rate, keeps the plan's ratios, and leaves nothing else behind."""

import json

import numpy as np
import pytest
import torch
from alike import alike
from jobs import run_job
from PIL import Image
from runs import TINY

from regraft import classifier, collect, lr_range
from regraft.errors import RegraftError
from regraft.lr_range import Curve


def result(folder):
    return json.loads((folder / "result.json").read_text())


@pytest.mark.parametrize(
    "words",
    [
        ["strategy=feature_extraction"],
        # BatchNorm learns its statistics, the classifier forgets at random, images change.
        ["strategy=finetune", "freeze.fixed_norm_below=0", "head=mlp", "augment=light"],
        ["strategy=lp_ft", "optimizer=sgd", "optimizer.lr_scale=0.5", "balance=sampler"],
        ["strategy=collect", "strategy.sizes=3"],
    ],
)
def test_nothing_is_left_but_the_rate(words, tmp_path, monkeypatch):
    monkeypatch.setattr(lr_range, "STEPS", 40)
    monkeypatch.setattr(lr_range, "FLAT", 0)  # any fall will do, in so few steps
    monkeypatch.setattr(collect, "MIN_STEPS", 10)
    found, typed = tmp_path / "found", tmp_path / "typed"
    monkeypatch.setenv("REGRAFT_CACHE", str(tmp_path / "a cache"))
    run_job(found, *TINY, *words, "optimizer.lr=auto")
    rate = result(found)["lr_range"]["rate"]
    monkeypatch.setenv("REGRAFT_CACHE", str(tmp_path / "another"))
    run_job(typed, *TINY, *words, f"optimizer.lr={rate}")

    one, other = result(found), result(typed)
    assert other["lr_range"] is None
    for key in ("metrics", "best_epoch", "forecast"):
        assert one[key] == other[key], key
    assert one["cost"]["images_forwarded"] == other["cost"]["images_forwarded"]
    for name in ("predictions.csv", "metrics.csv"):
        assert (found / name).read_bytes() == (typed / name).read_bytes(), name
    for name in ("best.ckpt", "last.ckpt"):
        a, b = (torch.load(f / "checkpoints" / name, weights_only=True) for f in (found, typed))
        parts = ("state_dict", "global_step")
        if name == "last.ckpt":  # best.ckpt holds weights only
            parts += ("optimizer_states", "lr_schedulers")
        for part in parts:
            assert alike(a[part], b[part]), (name, part)
        assert alike(a.get("resume", {}).get("streams"), b.get("resume", {}).get("streams"))


def test_the_curve_is_kept_and_drawn_and_the_rate_said(finished_run):
    run = finished_run(*TINY, "optimizer.lr=auto")
    made = run.result["lr_range"]
    rows = run.rows(made["curve"])
    curve = Curve(*(np.array([float(row[name]) for row in rows]) for name in ("lr", "loss")))
    assert curve.rate() == made["rate"]
    said = f"learning rate {made['rate']:g} (optimizer.lr=auto): there the smoothed loss was half"
    assert said in run.stdout
    with Image.open(run.folder / "lr_range.png") as picture:
        assert len(picture.convert("L").getcolors()) > 10


def test_stages_that_start_later_stay_as_they_are(tmp_path, monkeypatch):
    monkeypatch.setattr(lr_range, "STEPS", 20)
    monkeypatch.setattr(lr_range, "FLAT", -1)  # whatever is found
    seen = []

    def watched(self, batch, index, before=classifier.Classifier.on_train_batch_start):
        before(self, batch, index)
        if self.trainer.max_epochs == -1:
            seen.append(self.backbone.frozen)

    monkeypatch.setattr(classifier.Classifier, "on_train_batch_start", watched)
    run_job(tmp_path, *TINY, "strategy=gradual", "freeze.begin=0.0", "optimizer.lr=auto")
    assert set(seen) == {frozenset(range(4))}  # all but the last one, from beginning to end
    assert len(seen) > 10


def test_a_run_that_goes_on_does_not_test_again(tmp_path, monkeypatch, capsys):
    class Killed(BaseException):
        pass

    def kill(*_):
        kept.append(result(tmp_path)["lr_range"])  # what a SIGKILL would leave
        raise Killed

    words, kept = [*TINY, "optimizer.lr=auto"], []
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(lr_range, "STEPS", 40)
        patch.setattr(classifier.Classifier, "on_save_checkpoint", kill)
        run_job(tmp_path, *words)
    rate = kept[0]["rate"]
    monkeypatch.setattr(lr_range, "measure", kill)
    run_job(tmp_path, *words, "resume=auto")
    assert result(tmp_path)["lr_range"]["rate"] == rate
    assert f"learning rate {rate:g}, which the range test found before" in capsys.readouterr().out
    last = torch.load(tmp_path / "checkpoints/last.ckpt", weights_only=True)
    assert last["optimizer_states"][0]["param_groups"][-1]["initial_lr"] == rate


def test_a_head_that_learns_nothing_ends_the_run_with_its_curve(tmp_path, monkeypatch):
    monkeypatch.setattr(lr_range, "STEPS", 12)
    monkeypatch.setattr(lr_range, "HIGHEST", 1e-5)
    with pytest.raises(RegraftError, match="nothing is learned; give optimizer.lr a number"):
        run_job(tmp_path, *TINY, "optimizer.lr=auto")
    assert result(tmp_path)["status"] == "failed"
    assert (tmp_path / "lr_range.csv").exists()
