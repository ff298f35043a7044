"""optimizer.lr=auto finds a rate, keeps the plan's ratios, and leaves nothing else behind."""

import csv
import json

import numpy as np
import pytest
import torch
from alike import alike
from jobs import composed, run_job
from PIL import Image

from regraft import classifier, collect, lr_range, optim, plan
from regraft.backbone import Backbone
from regraft.config import check
from regraft.doctor.job import assemble
from regraft.doctor.network import rates
from regraft.errors import RegraftError
from regraft.head import linear
from regraft.lr_range import HIGHEST, LOWEST, STEPS, Curve, rising

FEW = ["data.per_class=6", "loader.batch_size=16", "trainer.max_epochs=2", "logger=none"]
RATES = np.geomspace(LOWEST, HIGHEST, STEPS)


def result(folder):
    return json.loads((folder / "result.json").read_text())


def valley(learns, breaks):
    """A curve that falls from 2.3 to 0.3 around one rate, and breaks around another."""
    fall = 2 / (1 + (learns / RATES) ** 3)
    return Curve(RATES, 2.3 - fall + (RATES / breaks) ** 4)


@pytest.mark.parametrize("learns", [1e-4, 3e-3, 0.1])
def test_the_rate_is_where_the_smoothed_loss_is_halfway_down(learns):
    curve = valley(learns, 100 * learns)
    rate = curve.rate()
    assert learns < rate < 10 * learns  # later by the steps that the mean remembers
    level = np.interp(rate, curve.rates, curve.smooth)
    assert level == pytest.approx((curve.start + curve.lowest) / 2, abs=0.1)
    assert rate == float(f"{rate:.1e}")  # who types it gets the same


def test_noise_moves_the_rate_little():
    clean = valley(3e-3, 0.3)
    rng = np.random.default_rng(0)
    found = [Curve(RATES, clean.losses + rng.normal(0, 0.15, STEPS)).rate() for _ in range(40)]
    assert max(found) < 2.5 * clean.rate()
    assert min(found) > clean.rate() / 2.5


@pytest.mark.parametrize(
    ("losses", "said"),
    [
        (np.full(STEPS, 2.3), "stays at 2.3 at all rates from 1e-06 to 10: nothing is learned"),
        (np.full(STEPS, np.nan), "is no number before anything is learned, so no rate will do"),
        (np.array([2.3, np.nan]), "stays at 2.3 at all rates from 1e-06 to .* and breaks at"),
        (
            2.3 + np.arange(STEPS) / 20,
            "2.5[23] at all rates from 1e-06 to 10, and breaks at 10: no",
        ),
    ],
)
def test_a_curve_that_says_nothing_is_one_line_with_what_to_do(losses, said):
    with pytest.raises(RegraftError, match=said) as found:
        Curve(RATES[: len(losses)], losses).rate()
    assert "; give optimizer.lr a number" in str(found.value)


def test_a_curve_that_ends_in_nan_has_broken_there():
    losses = np.append(valley(1e-4, 1).losses[:60], np.nan)
    curve = Curve(RATES[:61], losses)
    assert curve.broke_at == RATES[60]
    assert 1e-4 < curve.rate() < 1e-3


@pytest.mark.parametrize("lr_scale", [1.0, 0.5])
def test_every_group_rises_in_its_ratio(lr_scale):
    backbone = Backbone(name="test_resnet", size=64)
    made = plan.none(len(backbone.stages), 10, above="tune", fixed_norm_below=0)
    ratios = {"backbone_ratio": 0.1, "stage_decay": 0.5, "lr_scale": lr_scale}
    head = linear(backbone.out_features, None, 3)
    optimizer = optim.sgd(backbone, made, head, lr="auto", weight_decay=0.0, momentum=0.9, **ratios)
    schedule, seen = rising(optimizer, STEPS), []
    for _ in range(STEPS):
        highest = optimizer.param_groups[-1]["lr"]
        for group in optimizer.param_groups:
            assert group["lr"] == pytest.approx(highest * group["ratio"], rel=1e-9)
        seen.append(highest)
        optimizer.step()
        schedule.step()
    assert seen == pytest.approx(list(RATES))


def test_a_word_that_is_no_rate_is_one_line(tmp_path):
    with pytest.raises(RegraftError, match="must be a number or auto; did you mean 'auto'"):
        check(composed(tmp_path, "optimizer.lr=atuo"))
    with pytest.raises(RegraftError, match="lr=-1: must be greater than 0"):
        check(composed(tmp_path, "optimizer.lr=-1"))


def test_several_devices_are_refused(tmp_path):
    words = ["optimizer.lr=auto", "trainer.devices=2", "trainer.accelerator=cpu"]
    with pytest.raises(RegraftError, match="runs on one device; find the rate with trainer.dev"):
        run_job(tmp_path, *FEW, *words, "trainer.strategy=ddp")


@pytest.mark.parametrize(
    "words",
    [
        ["strategy=feature_extraction"],
        # BatchNorm learns its statistics, the classifier forgets at random, images change.
        ["strategy=finetune", "freeze.fixed_norm_below=0", "head=mlp", "augment=light"],
        pytest.param(
            ["strategy=lp_ft", "optimizer=sgd", "optimizer.lr_scale=0.5", "balance=sampler"],
            marks=pytest.mark.slow,
        ),
        pytest.param(
            ["strategy=collect", "strategy.sizes=5", "data.per_class=10"], marks=pytest.mark.slow
        ),
    ],
)
def test_nothing_is_left_but_the_rate(words, tmp_path, monkeypatch):
    monkeypatch.setattr(lr_range, "STEPS", 40)
    monkeypatch.setattr(collect, "MIN_STEPS", 10)
    found, typed = tmp_path / "found", tmp_path / "typed"
    monkeypatch.setenv("REGRAFT_CACHE", str(tmp_path / "a cache"))
    run_job(found, *FEW, *words, "optimizer.lr=auto")
    rate = result(found)["lr_range"]["rate"]
    monkeypatch.setenv("REGRAFT_CACHE", str(tmp_path / "another"))
    run_job(typed, *FEW, *words, f"optimizer.lr={rate}")

    one, other = result(found), result(typed)
    assert other["lr_range"] is None
    for key in ("metrics", "best_epoch", "forecast"):
        assert one[key] == other[key], key
    assert one["cost"]["images_forwarded"] == other["cost"]["images_forwarded"]
    for name in ("predictions.csv", "metrics.csv"):
        assert (found / name).read_bytes() == (typed / name).read_bytes(), name
    for name in ("best.ckpt", "last.ckpt"):
        a, b = (torch.load(f / "checkpoints" / name, weights_only=True) for f in (found, typed))
        for part in ("state_dict", "optimizer_states", "lr_schedulers", "global_step"):
            assert alike(a[part], b[part]), (name, part)
        assert alike(a.get("resume", {}).get("streams"), b.get("resume", {}).get("streams"))


def test_the_curve_is_kept_and_drawn_and_the_rate_said(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(lr_range, "STEPS", 40)
    run_job(tmp_path, *FEW, "optimizer.lr=auto")
    made = result(tmp_path)["lr_range"]
    rows = list(csv.DictReader((tmp_path / made["curve"]).read_text().splitlines()))
    curve = Curve(*(np.array([float(row[name]) for row in rows]) for name in ("lr", "loss")))
    assert curve.rate() == made["rate"]
    assert (
        f"learning rate {made['rate']:g} (optimizer.lr=auto): there the smoothed loss was halfway"
        in (capsys.readouterr().out)
    )
    with Image.open(tmp_path / "lr_range.png") as picture:
        assert len(picture.convert("L").getcolors()) > 10


def test_stages_that_start_later_stay_as_they_are(tmp_path, monkeypatch):
    monkeypatch.setattr(lr_range, "STEPS", 20)
    seen = []

    def watched(self, batch, index, before=classifier.Classifier.on_train_batch_start):
        before(self, batch, index)
        if self.trainer.max_epochs == -1:
            seen.append(self.backbone.frozen)

    monkeypatch.setattr(classifier.Classifier, "on_train_batch_start", watched)
    run_job(tmp_path, *FEW, "strategy=gradual", "freeze.begin=0.0", "optimizer.lr=auto")
    assert set(seen) == {frozenset(range(4))}  # all but the last one, from beginning to end
    assert len(seen) > 10


def test_a_run_that_goes_on_does_not_test_again(tmp_path, monkeypatch, capsys):
    class Killed(BaseException):
        pass

    def kill(*_):
        kept.append(result(tmp_path)["lr_range"])  # what a SIGKILL would leave
        raise Killed

    words, kept = [*FEW, "optimizer.lr=auto"], []
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
        run_job(tmp_path, *FEW, "optimizer.lr=auto")
    assert result(tmp_path)["status"] == "failed"
    assert (tmp_path / "lr_range.csv").exists()


def test_the_doctor_says_ratios(tmp_path):
    job = assemble(composed(tmp_path, *FEW, "strategy=finetune", "optimizer.lr=auto"), tmp_path)
    [found] = rates(job)
    assert found.found.endswith("stage4 0.1, head 1, times what a range test finds")
