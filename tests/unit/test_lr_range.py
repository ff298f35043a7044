"""The curve of a range test and the rate that it says; every group rises in its ratio."""

import numpy as np
import pytest
from jobs import composed, run_job

from regraft import optim, plan
from regraft.backbone import Backbone
from regraft.config import check
from regraft.doctor.job import assemble
from regraft.doctor.network import rates
from regraft.errors import RegraftError
from regraft.head import linear
from regraft.lr_range import HIGHEST, LOWEST, STEPS, Curve, rising

FEW = ["data.per_class=6", "loader.batch_size=16", "trainer.max_epochs=2", "logger=none"]
RATES = np.geomspace(LOWEST, HIGHEST, STEPS)


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


def test_the_doctor_says_ratios(tmp_path):
    job = assemble(composed(tmp_path, *FEW, "strategy=finetune", "optimizer.lr=auto"), tmp_path)
    [found] = rates(job)
    assert found.found.endswith("stage4 0.1, head 1, times what a range test finds")
