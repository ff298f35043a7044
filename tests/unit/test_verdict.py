"""Metrics and calibration of a run, as result.json has them."""

import pytest
import torch

from regraft import calibration, verdict
from regraft.calibration import Wanted


def test_metrics_against_counting_by_hand():
    probabilities = torch.tensor([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.7, 0.3]])
    found = verdict.metrics("test", probabilities, torch.tensor([0, 1, 1, 0]))
    assert found["test/acc"] == 0.75
    assert found["test/macro_f1"] == pytest.approx((0.8 + 2 / 3) / 2, abs=1e-6)
    expected = -(torch.tensor([0.9, 0.8, 0.4, 0.7]).log().mean()).item()
    assert found["test/loss"] == pytest.approx(expected, abs=1e-5)


def test_who_is_wholly_sure_shares_the_last_bin_with_who_nearly_is():
    """50 images at 0.97, all right, and 50 at 1.0, of which 5 are wrong: 0.95 of the bin."""
    probabilities = torch.tensor([[0.97, 0.03]] * 50 + [[1.0, 0.0]] * 50)
    labels = torch.tensor([0] * 95 + [1] * 5)
    assert verdict.metrics("test", probabilities, labels)["test/ece"] == pytest.approx(0.035)


def test_macro_f1_counts_every_class_alike():
    """Eight of nine of one class are right and none of the other: F1 of 16/18 and of 0."""
    probabilities = torch.tensor([[0.9, 0.1]] * 9)
    found = verdict.metrics("test", probabilities, torch.tensor([0] * 8 + [1]))
    assert found["test/acc"] == pytest.approx(8 / 9, abs=1e-6)
    assert found["test/macro_f1"] == pytest.approx(16 / 17 / 2, abs=1e-6)


def test_the_temperature_is_that_of_the_validation_images():
    """Right in nine of ten, and as sure; of the test images only six of ten are."""
    sure = torch.tensor([[0.9, 0.1]] * 100)
    val = (sure, torch.tensor([0] * 90 + [1] * 10))
    test = (sure, torch.tensor([0] * 60 + [1] * 40))
    found, _, metrics = verdict.calibrated(None, val, test)
    assert found.temperature == pytest.approx(1, abs=0.05)
    assert metrics["test/ece_calibrated"] == pytest.approx(0.3, abs=0.01)


class Told:
    """A record that remembers what it was told."""

    def __init__(self):
        self.result = {}

    def add(self, **parts):
        for key, part in parts.items():
            self.result.setdefault(key, {}).update(part)


def test_the_calibration_is_recorded_and_given_back_to_be_kept():
    probabilities = torch.tensor([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.7, 0.3]])
    split = (probabilities.repeat(20, 1), torch.tensor([0, 1, 1, 0]).repeat(20))
    kept = verdict.calibrate(told := Told(), Wanted(precision=0.7), split, split)
    assert kept.keys() == {"temperature", "threshold", "precision"}
    assert told.result["calibration"]["test"]["precision"] >= 0.7
    assert told.result["metrics"].keys() == {"test/ece_calibrated"}


def test_what_is_recorded_of_the_calibration_is_what_any_other_network_is_told():
    probabilities = torch.tensor([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.7, 0.3]])
    split = (probabilities, torch.tensor([0, 1, 1, 0]))
    kept = verdict.calibrate(told := Told(), Wanted(precision=0.7), split, split)
    found, report, metrics = verdict.calibrated(0.7, split, split)
    assert vars(found) == kept
    assert told.result == {"calibration": report, "metrics": metrics}
    assert metrics == {"test/ece_calibrated": round(calibration.error(report["after"]), 6)}


def test_a_precision_that_no_threshold_reaches_is_said(caplog):
    split = (torch.tensor([[0.9, 0.1], [0.8, 0.2]]), torch.tensor([1, 0]))
    kept = verdict.calibrate(Told(), Wanted(precision=0.95), split, split)
    assert kept["threshold"] is None
    assert "calibration.precision=0.95: no threshold reaches it" in caplog.text
