import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight

from regraft.data.balance import Balance

LABELS = torch.tensor([0] * 80 + [1] * 16 + [2] * 4)


def test_class_weights_are_those_of_scikit_learn():
    expected = compute_class_weight("balanced", classes=np.arange(3), y=LABELS.numpy())
    weights = Balance(draws=0.0, loss=1.0).of_loss(LABELS, 3)
    assert weights.tolist() == pytest.approx(expected.tolist())


@pytest.mark.parametrize("power", [0.3, 0.5, 1.0])
def test_class_weights_leave_the_mean_over_images_at_one(power):
    weights = Balance(draws=0.0, loss=power).of_loss(LABELS, 3)
    assert float(weights[LABELS].mean()) == pytest.approx(1.0)
    assert float(weights[2] / weights[0]) == pytest.approx(20**power)


@pytest.mark.parametrize(("power", "shares"), [(1.0, [1, 1, 1]), (0.5, [80**0.5, 4, 2])])
def test_classes_are_drawn_as_the_power_says(power, shares):
    weights = Balance(draws=power, loss=0.0).of_draws(LABELS)
    drawn = torch.zeros(3, dtype=torch.float64).index_add_(0, LABELS, weights)
    expected = np.array(shares) / sum(shares)
    assert (drawn / drawn.sum()).tolist() == pytest.approx(expected.tolist())


def test_none_changes_nothing():
    none = Balance(draws=0.0, loss=0.0)
    assert none.of_draws(LABELS) is None
    assert none.of_loss(LABELS, 3) is None


def test_a_class_without_training_images_does_no_harm():
    assert Balance(draws=0.0, loss=1.0).of_loss(LABELS, 4).isfinite().all()
