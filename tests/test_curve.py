import numpy as np
import pytest
from learning_curves import points_on

from regraft.curve import Curve, fit
from regraft.errors import RegraftError


def test_points_of_too_few_sizes_or_replicates_are_refused():
    with pytest.raises(RegraftError, match="at least five sizes"):
        fit([point for point in points_on(0.05, 0.4, full=20) if point.per_class < 6])
    with pytest.raises(RegraftError, match="three replicates"):
        fit(points_on(0.05, 0.4, full=20)[:-1])


def test_a_known_curve_is_recovered_exactly():
    curve = fit(points_on(0.05, 0.4, full=20))
    assert (curve.alpha, curve.eta) == pytest.approx((0.05, 0.4))
    assert curve.second == pytest.approx({"alpha": 0.05, "eta": 0.4, "gamma": -0.5})
    assert curve.asymptote()["acc"] == pytest.approx(0.95)


def test_a_free_exponent_is_recovered_by_the_second_opinion():
    curve = fit(points_on(0.05, 0.5, full=50, gamma=-0.8))
    assert curve.second["gamma"] == pytest.approx(-0.8, abs=0.03)


def test_a_small_validation_set_widens_the_interval():
    points = points_on(0.05, 0.4, full=20, noise=0.02)
    wide, narrow = fit(points, val_images=40).band(20.0), fit(points).band(20.0)
    assert wide[0] < narrow[0]
    assert wide[1] > narrow[1]


def test_the_curve_never_leaves_the_range_of_an_accuracy():
    curve = Curve(5, 0.0, 1.5, -0.5, 0.0, np.array([[0.0], [1.5], [-0.5], [1.0]]), {})
    assert curve.acc(1.0) == 0
    assert curve.band(1.0).tolist() == [[0.0], [0.0]]


def test_what_more_images_bring_is_the_fall_of_the_error():
    curve = fit(points_on(0.05, 0.4, full=100))
    truth = 0.4 * (100**-0.5 - 200**-0.5)
    low, middle, high = np.quantile(curve.gains(2), (0.05, 0.5, 0.95))
    assert abs(middle - truth) < 0.004 and low < truth < high
    assert np.quantile(curve.gains(4), 0.5) > middle
