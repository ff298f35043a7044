"""Temperature and threshold against values that are known, or found by trying all."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax
from scipy.stats import binomtest

from regraft import calibration
from regraft.calibration import Calibration


def drawn(scale: float, images: int = 4000, classes: int = 4):
    """Labels drawn as often as the network should say, which says it `scale` times too surely."""
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(images, classes)) * 2
    true = softmax(logits, axis=1)
    labels = np.array([rng.choice(classes, p=row) for row in true])
    return softmax(scale * logits, axis=1).astype(np.float32), labels


def test_the_error_is_of_fifteen_bins():
    """0.61 and 0.69 are in two bins of fifteen; in one of ten, their errors would cancel out."""
    probabilities = np.array([[0.61, 0.39]] * 100 + [[0.69, 0.31]] * 100)
    labels = np.array([0] * 71 + [1] * 29 + [0] * 59 + [1] * 41)
    found = calibration.bins(probabilities, labels)
    assert [images for images, *_ in found if images] == [100, 100]
    assert calibration.error(found) == pytest.approx(0.1)


@pytest.mark.parametrize("scale", [0.5, 1.0, 3.0])
def test_the_temperature_undoes_what_made_the_network_too_sure(scale):
    probabilities, labels = drawn(scale)
    assert calibration.temperature(probabilities, labels) == pytest.approx(scale, rel=0.06)


def test_the_temperature_lowers_the_error_and_changes_no_prediction():
    probabilities, labels = drawn(3.0)
    fitted = calibration.fit(probabilities, labels, None)
    calibrated = fitted.apply(probabilities)
    assert np.allclose(calibrated.sum(1), 1)
    assert (calibrated.argmax(1) == probabilities.argmax(1)).all()
    before, after = (
        calibration.error(calibration.bins(p, labels)) for p in (probabilities, calibrated)
    )
    assert after < 0.03 < before
    assert fitted.threshold is None


def test_without_a_mistake_nobody_is_made_infinitely_sure():
    labels = np.arange(20) % 2
    probabilities = np.where(np.eye(2)[labels] > 0, 0.8, 0.2)
    fitted = calibration.fit(probabilities, labels, None)
    # 21 of 22 is what twenty answers of twenty say.
    assert fitted.apply(probabilities).max() == pytest.approx(21 / 22, abs=0.01)


def test_probabilities_of_zero_and_one_are_taken():
    probabilities = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]], np.float32)
    fitted = calibration.fit(probabilities, np.array([0, 1, 1]), 0.5)
    assert np.isfinite(fitted.apply(probabilities)).all()
    assert fitted.temperature > 10  # sure and wrong


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from([0.3, 0.5, 0.7, 0.9]), st.sampled_from([True] * 6 + [False])),
        min_size=1,
        max_size=40,
    ),
    st.sampled_from([0.5, 0.75, 0.9]),
)
def test_the_threshold_is_the_lowest_that_does(images, precision):
    confidence, right = (np.array(column) for column in zip(*images, strict=True))

    def at_least(said):
        test = binomtest(int(said.sum()), len(said), alternative="greater")
        return test.proportion_ci(calibration.SURE, method="exact").low

    enough = [t for t in np.unique(confidence) if at_least(right[confidence >= t]) >= precision]
    assert calibration.threshold(confidence, right, precision) == (enough[0] if enough else None)


def test_what_is_promised_is_kept_in_nine_of_ten_networks():
    rng, broken = np.random.default_rng(0), 0
    for _ in range(200):
        sure = rng.beta(6, 0.7, (2, 4000))  # as often right as it is sure
        right = rng.random(200) < sure[0, :200]
        found = calibration.threshold(sure[0, :200], right, 0.95)
        broken += found is not None and sure[1][sure[1] >= found].mean() < 0.95
    assert 0 < broken < 30


def test_who_abstains_and_what_is_left():
    fitted = Calibration(1.0, threshold=0.7, precision=0.9)
    calibrated = np.array([[0.9, 0.1], [0.6, 0.4], [0.3, 0.7]])
    assert fitted.abstains(calibrated).tolist() == [False, True, False]
    left = calibration.kept(fitted, calibrated, np.array([0, 0, 0]))
    assert left == {"images": 2, "coverage": pytest.approx(2 / 3, abs=1e-6), "precision": 0.5}
    nobody = Calibration(1.0, threshold=0.99, precision=0.9)
    assert calibration.kept(nobody, calibrated, np.array([0, 0, 0]))["precision"] is None
    assert not Calibration(1.0).abstains(calibrated).any()


def test_the_error_is_that_of_torchmetrics():
    import torch
    from torchmetrics.functional.classification import multiclass_calibration_error

    probabilities, labels = drawn(2.0, images=500)
    theirs = multiclass_calibration_error(
        torch.from_numpy(probabilities), torch.from_numpy(labels), 4, n_bins=calibration.BINS
    )
    ours = calibration.error(calibration.bins(probabilities, labels))
    assert ours == pytest.approx(float(theirs), abs=1e-5)


def test_the_report_says_what_the_threshold_does_on_both_splits():
    probabilities, labels = drawn(3.0)
    val, test = (probabilities[:2000], labels[:2000]), (probabilities[2000:], labels[2000:])
    fitted = calibration.fit(*val, 0.9)
    told = calibration.report(fitted, val, test)
    assert told["threshold"] == fitted.threshold and told["precision"] == 0.9
    assert told["val"]["precision"] >= 0.9
    assert 0.9 < told["test"]["precision"] < 0.95
    assert 0 < told["test"]["coverage"] < 1
    assert sum(images for images, *_ in told["before"]) == 2000
