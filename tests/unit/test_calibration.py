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
    return (scale * logits).astype(np.float32), labels


def diagram(known, logits, labels):
    return calibration.bins(known.confidence(logits), logits.argmax(1) == labels)


def test_the_error_is_of_fifteen_bins():
    """0.61 and 0.69 are in two bins of fifteen; in one of ten, their errors would cancel out."""
    right = np.array([True] * 71 + [False] * 29 + [True] * 59 + [False] * 41)
    found = calibration.bins(np.repeat([0.61, 0.69], 100), right)
    assert [images for images, *_ in found if images] == [100, 100]
    assert calibration.error(found) == pytest.approx(0.1)


@pytest.mark.parametrize("scale", [0.5, 1.0, 3.0])
def test_the_temperature_undoes_what_made_the_network_too_sure(scale):
    assert calibration.temperature(*drawn(scale)) == pytest.approx(scale, rel=0.06)


def test_the_temperature_lowers_the_error_and_changes_no_prediction():
    logits, labels = drawn(3.0)
    fitted = calibration.fit(logits, labels, None)
    calibrated = fitted.apply(logits)
    assert np.allclose(calibrated.sum(1), 1)
    assert np.allclose(calibrated.max(1), fitted.confidence(logits))
    assert (calibrated.argmax(1) == logits.argmax(1)).all()
    before, after = (
        calibration.error(diagram(known, logits, labels)) for known in (Calibration(1.0), fitted)
    )
    assert after < 0.03 < before
    assert fitted.threshold is None


def test_without_a_mistake_nobody_is_made_infinitely_sure():
    labels = np.arange(20) % 2
    logits = np.log(np.where(np.eye(2)[labels] > 0, 0.8, 0.2))
    best = Calibration(calibration.best_temperature(logits, labels))
    # 21 of 22 is what twenty answers of twenty say.
    assert best.apply(logits).max() == pytest.approx(21 / 22, abs=0.01)
    assert 0.8 < calibration.fit(logits, labels, None).apply(logits).max() < 0.9


def test_twelve_images_do_not_make_a_network_twice_as_sure():
    """As in a run whose test images were told with 0.41, and then with 0.83: 4 of 12 were right."""
    labels = np.arange(12) % 3
    logits = np.log(np.where(np.eye(3)[labels] > 0, 0.41, 0.295))
    logits[0] = logits[0][[1, 0, 2]]  # one mistake
    sure = Calibration(calibration.best_temperature(logits, labels)).confidence(logits)[0]
    assert sure > 0.8
    assert calibration.fit(logits, labels, None).confidence(logits)[0] < 0.5


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 60), st.integers(2, 5), st.integers(0, 2**32 - 1), st.floats(0.1, 8))
def test_the_temperature_is_never_further_from_one_than_what_fits_best(images, classes, seed, heat):
    rng = np.random.default_rng(seed)
    logits, labels = heat * rng.normal(size=(images, classes)), rng.integers(classes, size=images)
    found = np.log(calibration.temperature(logits, labels))
    best = np.log(calibration.best_temperature(logits, labels))
    assert min(0, best) - 1e-3 <= found <= max(0, best) + 1e-3


@pytest.mark.parametrize("scale", [0.4, 2.5])
def test_the_fewer_images_the_nearer_to_one(scale):
    """Of the same evidence, repeated; and of many it is what the images say."""
    logits, labels = drawn(scale, images=10)
    labels[:] = np.argmax(logits, axis=1) if scale < 1 else np.roll(labels, 1)

    def heat(times):
        repeated = np.tile(logits, (times, 1)), np.tile(labels, times)
        return abs(np.log(calibration.temperature(*repeated)))

    heats = [heat(times) for times in (1, 3, 10, 100)]
    assert heats == sorted(heats)
    assert heats[0] < 0.7 * heats[-1]


@pytest.mark.parametrize("never", [-300.0, -np.inf])
def test_logits_that_are_far_apart_are_taken(never):
    """Of a head that rules a class out, or of probabilities that a float32 has rounded to 0."""
    logits = np.array([[0.0, never], [0.0, never], [never, 0.0]] * 20, np.float32)
    fitted = calibration.fit(logits, np.array([0, 1, 1] * 20), 0.5)
    assert np.isfinite(fitted.apply(logits)).all()
    assert fitted.temperature > 10  # sure and wrong
    assert np.isfinite(calibration.logits_of(np.array([[1.0, 0.0]], np.float32))).all()


def test_the_temperature_does_not_depend_on_how_many_are_looked_at_together(monkeypatch):
    logits, labels = drawn(3.0, images=300)
    whole = calibration.fit(logits, labels, 0.9)
    monkeypatch.setattr(calibration, "_PART", 40)
    parts = calibration.fit(logits, labels, 0.9)
    assert parts.temperature == pytest.approx(whole.temperature, rel=1e-6)
    assert parts.threshold == pytest.approx(whole.threshold, rel=1e-6)


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
    sure, right = np.array([0.9, 0.6, 0.7]), np.array([True, True, False])
    assert fitted.abstains(sure).tolist() == [False, True, False]
    left = calibration.kept(fitted, sure, right)
    assert left == {"images": 2, "coverage": pytest.approx(2 / 3, abs=1e-6), "precision": 0.5}
    nobody = Calibration(1.0, threshold=0.99, precision=0.9)
    assert calibration.kept(nobody, sure, right)["precision"] is None
    assert not Calibration(1.0).abstains(sure).any()


def test_the_error_is_that_of_torchmetrics():
    import torch
    from torchmetrics.functional.classification import multiclass_calibration_error

    logits, labels = drawn(2.0, images=500)
    probabilities = torch.from_numpy(softmax(logits, axis=1))
    theirs = multiclass_calibration_error(
        probabilities, torch.from_numpy(labels), 4, n_bins=calibration.BINS
    )
    ours = calibration.error(diagram(Calibration(1.0), logits, labels))
    assert ours == pytest.approx(float(theirs), abs=1e-5)


def test_the_report_says_what_the_threshold_does_on_both_splits():
    logits, labels = drawn(3.0)
    val, test = (logits[:2000], labels[:2000]), (logits[2000:], labels[2000:])
    fitted = calibration.fit(*val, 0.9)
    told = calibration.report(fitted, val, test)
    assert told["threshold"] == fitted.threshold and told["precision"] == 0.9
    assert told["images"] == 2000  # on which it stands
    assert told["val"]["precision"] >= 0.9
    assert 0.9 < told["test"]["precision"] < 0.95
    assert 0 < told["test"]["coverage"] < 1
    assert sum(images for images, *_ in told["before"]) == 2000
