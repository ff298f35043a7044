"""Metrics and calibration of a run, as result.json has them."""

import pytest
import torch

from regraft import verdict


def test_metrics_against_counting_by_hand():
    probabilities = torch.tensor([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.7, 0.3]])
    found = verdict.metrics("test", probabilities, torch.tensor([0, 1, 1, 0]))
    assert found["test/acc"] == 0.75
    assert found["test/macro_f1"] == pytest.approx((0.8 + 2 / 3) / 2, abs=1e-6)
    expected = -(torch.tensor([0.9, 0.8, 0.4, 0.7]).log().mean()).item()
    assert found["test/loss"] == pytest.approx(expected, abs=1e-5)
