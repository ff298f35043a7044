"""Metrics and calibration of a run, as result.json has them."""

import pytest
import torch
from memory import at_most
from torchmetrics.functional.classification import multiclass_f1_score

from regraft import calibration, verdict
from regraft.calibration import Calibration, Wanted
from regraft.errors import RegraftError

PLAIN = Calibration(1.0)


def metrics(probabilities, labels, known=PLAIN):
    return verdict.metrics("test", probabilities.log(), labels, known)


def test_metrics_against_counting_by_hand():
    probabilities = torch.tensor([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.7, 0.3]])
    found = metrics(probabilities, torch.tensor([0, 1, 1, 0]))
    assert found["test/acc"] == 0.75
    assert found["test/macro_f1"] == pytest.approx((0.8 + 2 / 3) / 2, abs=1e-6)
    expected = -(torch.tensor([0.9, 0.8, 0.4, 0.7]).log().mean()).item()
    assert found["test/loss"] == pytest.approx(expected, abs=1e-5)


def test_the_loss_of_an_image_that_is_surely_wrong_is_not_cut_off():
    """The probability of its class is 2e-9; of one of 1e-44 a float32 knows nothing any more."""
    for wrong in (20.0, 100.0):
        said = torch.tensor([[wrong, 0.0]]), torch.tensor([1])
        assert verdict.metrics("val", *said)["val/loss"] == pytest.approx(wrong, abs=1e-5)


def test_who_is_wholly_sure_shares_the_last_bin_with_who_nearly_is():
    """50 images at 0.97, all right, and 50 at 1.0, of which 5 are wrong: 0.95 of the bin."""
    probabilities = torch.tensor([[0.97, 0.03]] * 50 + [[1.0, 0.0]] * 50)
    labels = torch.tensor([0] * 95 + [1] * 5)
    assert metrics(probabilities, labels)["test/ece"] == pytest.approx(0.035)


def test_macro_f1_counts_every_class_alike():
    """Eight of nine of one class are right and none of the other: F1 of 16/18 and of 0."""
    probabilities = torch.tensor([[0.9, 0.1]] * 9)
    found = metrics(probabilities, torch.tensor([0] * 8 + [1]))
    assert found["test/acc"] == pytest.approx(8 / 9, abs=1e-6)
    assert found["test/macro_f1"] == pytest.approx(16 / 17 / 2, abs=1e-6)
    assert found["test/balanced_acc"] == 0.5


@pytest.mark.parametrize("classes", [3, 10, 60])  # of the last, some have no image
def test_macro_f1_is_that_of_torchmetrics(classes):
    rng = torch.Generator().manual_seed(0)
    said = torch.randn(80, classes, generator=rng), torch.randint(classes, (80,), generator=rng)
    theirs = multiclass_f1_score(*said, classes, average="macro")
    found = verdict.metrics("test", *said)
    assert found["test/macro_f1"] == pytest.approx(float(theirs), abs=1e-6)


def test_metrics_of_many_classes_take_little_beside_the_logits():
    torch.use_deterministic_algorithms(True, warn_only=True)  # trainer.deterministic=warn
    try:
        logits = torch.zeros(400, 20_000)
        labels = torch.arange(400) % 50
        logits[torch.arange(400), labels] = 1
        with at_most(2**30):  # the table of class by class that torchmetrics makes takes 3.2 GB
            found = verdict.metrics("val", logits, labels)
    finally:
        torch.use_deterministic_algorithms(False)
    assert found["val/acc"] == found["val/macro_f1"] == 1


def test_the_temperature_is_that_of_the_validation_images():
    """Right in nine of ten, and as sure; of the test images only six of ten are."""
    sure = torch.tensor([[0.9, 0.1]] * 100).log()
    val = (sure, torch.tensor([0] * 90 + [1] * 10))
    test = (sure, torch.tensor([0] * 60 + [1] * 40))
    found, _, metrics = verdict.judged(None, val, test)
    assert found.temperature == pytest.approx(1, abs=0.05)
    assert metrics["test/ece"] == metrics["test/ece_calibrated"] == pytest.approx(0.3, abs=0.01)


def test_the_calibration_error_is_that_of_the_probabilities_that_everybody_is_told():
    """Said with 0.99, and right in eight of ten."""
    split = torch.tensor([[0.99, 0.01]] * 400).log(), torch.tensor([0] * 320 + [1] * 80)
    metrics = verdict.judged(None, split, split)[2]
    assert metrics["test/ece"] < 0.01
    assert metrics["test/ece_uncalibrated"] == pytest.approx(0.19, abs=1e-6)
    assert [*metrics][:8] == [
        *(f"val/{name}" for name in ("acc", "loss", "macro_f1", "ece")),
        "val/balanced_acc",
        *(f"test/{name}" for name in ("acc", "loss", "macro_f1")),
    ]


@pytest.mark.parametrize("split", ["val", "test"])
def test_what_is_no_number_is_said(split):
    fine = torch.zeros(4, 2), torch.tensor([0, 1, 0, 1])
    bad = torch.full((4, 2), torch.nan), fine[1]
    splits = (bad, fine) if split == "val" else (fine, bad)
    with pytest.raises(RegraftError, match=f"of {split} images is no number"):
        verdict.judged(None, *splits)


class Told:
    """A record that remembers what it was told."""

    def __init__(self):
        self.result = {}

    def add(self, **parts):
        for key, part in parts.items():
            self.result.setdefault(key, {}).update(part)


def test_the_calibration_is_recorded_and_given_back_to_be_kept():
    probabilities = torch.tensor([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.7, 0.3]])
    split = (probabilities.log().repeat(20, 1), torch.tensor([0, 1, 1, 0]).repeat(20))
    kept = verdict.judge(told := Told(), Wanted(precision=0.7), split, split)
    assert kept.images == 80
    assert told.result["calibration"]["test"]["precision"] >= 0.7
    assert {"val/acc", "test/ece_calibrated"} <= told.result["metrics"].keys()


def test_what_is_recorded_of_the_calibration_is_what_any_other_network_is_told():
    probabilities = torch.tensor([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.7, 0.3]])
    split = (probabilities.log(), torch.tensor([0, 1, 1, 0]))
    kept = verdict.judge(told := Told(), Wanted(precision=0.7), split, split)
    found, report, metrics = verdict.judged(0.7, split, split)
    assert found == kept
    assert told.result == {"calibration": report, "metrics": metrics}
    assert metrics["test/ece"] == round(calibration.error(report["after"]), 6)


def test_a_precision_that_no_threshold_reaches_is_said(caplog):
    split = (torch.tensor([[0.9, 0.1], [0.8, 0.2]]).log(), torch.tensor([1, 0]))
    kept = verdict.judge(Told(), Wanted(precision=0.95), split, split)
    assert kept.threshold is None
    assert "calibration.precision=0.95: no threshold reaches it" in caplog.text
