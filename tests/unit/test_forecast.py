import numpy as np
import pytest
from held_back import covered
from learning_curves import falling, points_on

from regraft.curve import Point
from regraft.errors import RegraftError
from regraft.forecast import forecast


@pytest.mark.parametrize("target_acc", [0.0, 1.0, 95.0, -0.1, float("nan")])
def test_a_target_that_is_no_accuracy_is_refused(target_acc):
    with pytest.raises(RegraftError, match="target_acc"):
        forecast(points_on(0.05, 0.4, full=20), target_acc)


def test_a_known_curve_is_inverted_exactly():
    found = forecast(points_on(0.05, 0.4, full=20), 0.9)
    assert found.per_class_total["estimate"] == 64  # (0.4 / 0.05) ** 2
    assert found.per_class_needed["estimate"] == 44
    assert found.asymptote["acc"] == pytest.approx(0.95)


@pytest.mark.parametrize("gamma", [-0.4, -0.5, -0.65])
def test_intervals_hold_the_truth_in_most_of_ten_cases(gamma):
    """Forty cases of each exponent are drawn nightly."""
    accs, answers = covered(gamma, range(10))
    assert accs >= 8
    assert answers >= 8


def test_intervals_are_not_so_wide_that_they_hold_anything():
    found = forecast(points_on(0.15, 0.6, full=100, noise=0.05), 0.8)
    assert 0.01 < found.fit["error_at_4x"] < 0.05
    needed = found.per_class_needed
    assert 0 < needed["low"] < needed["estimate"] < needed["high"] < 3000


def test_a_reachable_target_is_answered_with_additional_images():
    found = forecast(points_on(0.02, 0.4, full=20, noise=0.02), 0.92)
    needed, total = found.per_class_needed, found.per_class_total
    assert found.reachable
    assert not found.already
    assert total["estimate"] == needed["estimate"] + 20
    assert 1 <= needed["low"] <= needed["estimate"]
    assert needed["high"] is None or needed["high"] >= needed["estimate"]
    assert found.words.startswith("about ")
    assert found.words.endswith(" would reach 0.92")


def test_a_target_reached_already_needs_nothing():
    found = forecast(points_on(0.02, 0.1, full=5), 0.9)
    assert found.reachable
    assert found.already
    assert found.per_class_needed == {"estimate": 0, "low": 0, "high": 0}
    assert found.words == "for a validation accuracy of 0.9: reached already with 5 per class"


def test_that_a_target_is_reached_is_doubted_on_few_validation_images():
    points = points_on(0.02, 0.1, full=20)
    sure, doubtful = (forecast(points, 0.9, val_images=images) for images in (2000, 30))
    assert "little" not in sure.words
    assert "or as little as 0.8" in doubtful.words and doubtful.verdict == "reached"


@pytest.mark.parametrize(
    ("points", "target_acc", "verdict", "words"),
    [
        (points_on(0.25, 0.3, full=60, noise=0.03), 0.95, "asymptote", "will not do it: the curve"),
        (points_on(0.1, 0.3, full=40, noise=0.03), 0.93, "doubtful", "may not do it"),
        (points_on(0.0495, 0.4, full=10), 0.95, "impractical", "not reachable in practice: about"),
        (points_on(0.15, 0.03, full=20, noise=0.15), 0.9, "noise", "noise between replicates (±0."),
        (points_on(-1.0, 1.7, full=100, gamma=-0.05), 0.99, "steep", "climbs too evenly"),
        (falling(), 0.95, "falls", "falls from 0.79 with 1 per class to 0.64 with 16"),
    ],
)
def test_where_no_number_is_honest_none_is_given(points, target_acc, verdict, words):
    found = forecast(points, target_acc)
    assert found.verdict == verdict
    assert words in found.words
    assert not found.reachable
    assert found.per_class_needed is None
    assert found.per_class_total is None


def test_a_curve_that_still_climbs_is_never_said_to_level_off():
    """Sigmoids over log n, still before their bend: what a hard task looks like at the start."""
    for seed in range(20):
        rng = np.random.default_rng(seed)
        points = [
            Point(n, r, float(0.95 / (1 + 20 / n**0.9) + rng.normal(0, 0.01)))
            for n in (1, 2, 3, 6, 11, 20)
            for r in range(3)
        ]
        points = [Point(p.per_class, p.replicate, max(p.acc, 0.0)) for p in points]
        assert forecast(points, 0.9).verdict in {"steep", "doubtful"}


def test_a_flat_exact_curve_levels_off_where_it_is():
    points = [Point(n, r, 0.6) for n in (1, 2, 4, 8, 16) for r in range(3)]
    found = forecast(points, 0.95)
    assert found.verdict == "asymptote"
    assert found.asymptote["acc"] == pytest.approx(0.6)


def test_the_same_points_in_any_order_give_the_same_answer():
    points = points_on(0.05, 0.4, full=20, noise=0.05)
    assert forecast(points, 0.9).as_dict()["fit"] == forecast(points[::-1], 0.9).as_dict()["fit"]
