import numpy as np
import pytest
from learning_curves import points_on

from regraft.curve import Curve, Law, Point, fit
from regraft.errors import RegraftError


def test_points_of_too_few_sizes_or_replicates_are_refused():
    with pytest.raises(RegraftError, match="at least three sizes .* here are 2 sizes"):
        fit([point for point in points_on(0.05, 0.4, full=20) if point.per_class < 3])
    with pytest.raises(RegraftError, match="three replicates"):
        fit(points_on(0.05, 0.4, full=20)[:-1])


def test_a_known_curve_is_recovered_exactly():
    curve = fit(points_on(0.05, 0.4, full=20))
    for law in curve.laws:
        assert (law.alpha, law.eta, law.gamma) == pytest.approx((0.05, 0.4, -0.5))
    assert curve.needed(0.9) == pytest.approx(64)
    assert curve.asymptote()["acc"] == pytest.approx(0.95)


def test_a_free_exponent_is_recovered_by_the_second_opinion():
    curve = fit(points_on(0.05, 0.5, full=50, gamma=-0.8))
    assert curve.laws[1].gamma == pytest.approx(-0.8, abs=0.03)
    assert curve.laws[0].gamma == -0.5


def test_the_curve_runs_between_its_laws_and_is_inverted_there():
    curve = fit(points_on(0.05, 0.5, full=50, gamma=-0.8))
    first, second = (float(law.acc(200.0)) for law in curve.laws)
    assert first > second  # a slower law, from a lower level
    assert curve.acc(200.0) == pytest.approx((first + second) / 2)
    assert curve.acc(curve.needed(0.93)) == pytest.approx(0.93)
    assert curve.needed(0.999) == np.inf
    assert curve.needed(0.01) == 1


def test_a_size_counts_less_the_further_it_lies_from_the_largest():
    points = points_on(0.05, 0.4, full=100)
    bent = [Point(p.per_class, p.replicate, p.acc / (1 + (p.per_class < 10))) for p in points]
    late = [Point(p.per_class, p.replicate, p.acc / (1 + (p.per_class > 50))) for p in points]
    truth = 1 - 0.05 - 0.4 / 20
    assert abs(fit(bent).acc(400.0) - truth) < abs(fit(late).acc(400.0) - truth) / 4


def test_a_small_validation_set_widens_the_interval():
    points = points_on(0.05, 0.4, full=20, noise=0.02)
    wide, narrow = fit(points, val_images=40).band(20.0), fit(points).band(20.0)
    assert wide[0] < narrow[0]
    assert wide[1] > narrow[1]


def test_the_curve_never_leaves_the_range_of_an_accuracy():
    curve = Curve(
        5, (law := Law(0.0, 1.5, -0.5), law), 0.0, np.array([[0.0], [1.5], [-0.5], [1.0]])
    )
    assert curve.acc(1.0) == 0
    assert curve.band(1.0).tolist() == [[0.0], [0.0]]


def test_what_more_images_bring_is_the_fall_of_the_error():
    curve = fit(points_on(0.05, 0.4, full=100))
    truth = 0.4 * (100**-0.5 - 200**-0.5)
    low, middle, high = np.quantile(curve.gains(2), (0.05, 0.5, 0.95))
    assert abs(middle - truth) < 0.005  # a little more, as curves bend further than laws do
    assert low < truth < high
    assert np.quantile(curve.gains(4), 0.5) > middle
