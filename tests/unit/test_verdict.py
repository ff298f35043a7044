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
