import itertools
import json
from pathlib import Path

import numpy as np
import pytest

from regraft.errors import RegraftError
from regraft.forecast import Collect, Curve, Point, draw, fit, forecast, measure, write


def make_collect(*, target_acc: float = 0.9, sizes: int = 6, replicates: int = 3) -> Collect:
    return Collect(
        name="collect", quadrant=None, target_acc=target_acc, sizes=sizes, replicates=replicates
    )


def points_on(
    alpha: float, eta: float, *, full: int, noise: float = 0.0, gamma: float = -0.5, seed: int = 0
) -> list[Point]:
    """Points on a known curve; `noise` is the spread of a replicate's score at one per class."""
    rng = np.random.default_rng(seed)
    return [
        Point(
            n, r, float(1 - np.clip(alpha + eta * n**gamma + rng.normal(0, noise / n**0.5), 0, 1))
        )
        for r in range(3)
        for n in make_collect().subset_sizes(full)
    ]


def falling() -> list[Point]:
    return [Point(n, r, 0.8 - 0.01 * n + 0.001 * r) for n in (1, 2, 4, 8, 16) for r in range(3)]


@pytest.mark.parametrize(
    ("smallest_class", "expected"),
    [(5, (1, 2, 3, 4, 5)), (6, (1, 2, 3, 4, 5, 6)), (100, (5, 9, 17, 30, 55, 100))],
)
def test_sizes_go_from_few_to_all(smallest_class, expected):
    assert make_collect().subset_sizes(smallest_class) == expected


@pytest.mark.parametrize("smallest_class", [5, 7, 10, 13, 20, 41, 130, 5000])
@pytest.mark.parametrize("count", [5, 6, 12])
def test_sizes_are_unique_and_rise_to_the_full_set(smallest_class, count):
    sizes = make_collect(sizes=count).subset_sizes(smallest_class)
    assert len(sizes) == min(count, smallest_class)
    assert list(sizes) == sorted(set(sizes))
    assert sizes[0] >= 1
    assert sizes[-1] == smallest_class


def test_a_class_with_fewer_than_five_images_is_refused():
    with pytest.raises(RegraftError, match=r"at least five sizes.*smallest class has 4"):
        make_collect().subset_sizes(4)


@pytest.mark.parametrize("target_acc", [0.0, 1.0, 95.0, -0.1, float("nan")])
def test_a_target_that_is_no_accuracy_is_refused(target_acc):
    with pytest.raises(RegraftError, match="target_acc"):
        make_collect(target_acc=target_acc)
    with pytest.raises(RegraftError, match="target_acc"):
        forecast(points_on(0.05, 0.4, full=20), target_acc)


@pytest.mark.parametrize(("key", "value"), [("sizes", 4), ("replicates", 2)])
def test_too_few_sizes_or_replicates_are_refused(key, value):
    with pytest.raises(RegraftError, match=rf"strategy\.{key}={value} is too few"):
        make_collect(**{key: value})


def test_points_of_too_few_sizes_or_replicates_are_refused():
    with pytest.raises(RegraftError, match="at least five sizes"):
        fit([point for point in points_on(0.05, 0.4, full=20) if point.per_class < 6])
    with pytest.raises(RegraftError, match="three replicates"):
        fit(points_on(0.05, 0.4, full=20)[:-1])


def test_subsets_are_class_balanced_nested_and_differ_between_replicates():
    labels = np.random.default_rng(0).permutation(np.repeat([3, 5, 9], [10, 14, 30]))
    subsets: dict[int, list[np.ndarray]] = {}

    def keep(indices: np.ndarray, replicate: int) -> float:
        subsets.setdefault(replicate, []).append(indices)
        return 0.5

    points = measure(make_collect(), labels, keep)
    sizes = make_collect().subset_sizes(10)
    assert [(p.replicate, p.per_class) for p in points] == [(r, n) for r in range(3) for n in sizes]
    for chain in subsets.values():
        for size, subset in zip(sizes, chain, strict=True):
            assert np.unique(labels[subset], return_counts=True)[1].tolist() == [size] * 3
        for small, large in itertools.pairwise(chain):
            assert set(small) < set(large)
    assert set(subsets[0][0]) != set(subsets[1][0])


def test_the_full_size_uses_every_image_of_a_balanced_set_and_the_seed_decides_the_rest():
    labels = np.repeat([0, 1], 8)

    def run(seed: int) -> list[list[int]]:
        seen: list[list[int]] = []
        measure(make_collect(), labels, lambda i, r: seen.append(i.tolist()) or 0.5, seed=seed)
        return seen

    assert run(1)[5] == run(1)[11] == list(range(16))
    assert run(1) == run(1) != run(2)


def test_one_class_or_a_score_that_is_no_accuracy_is_refused():
    with pytest.raises(RegraftError, match="two classes"):
        measure(make_collect(), np.zeros(20, dtype=int), lambda indices, replicate: 0.5)
    with pytest.raises(RegraftError, match="scored nan"):
        measure(make_collect(), np.repeat([0, 1], 9), lambda indices, replicate: float("nan"))


def test_a_known_curve_is_recovered_exactly():
    points = points_on(0.05, 0.4, full=20)
    curve = fit(points)
    assert (curve.alpha, curve.eta) == pytest.approx((0.05, 0.4))
    assert curve.second == pytest.approx({"alpha": 0.05, "eta": 0.4, "gamma": -0.5})
    found = forecast(points, 0.9)
    assert found.per_class_total["estimate"] == 64  # (0.4 / 0.05) ** 2
    assert found.per_class_needed["estimate"] == 44
    assert found.asymptote["acc"] == pytest.approx(0.95)


def test_a_free_exponent_is_recovered_by_the_second_opinion():
    curve = fit(points_on(0.05, 0.5, full=50, gamma=-0.8))
    assert curve.second["gamma"] == pytest.approx(-0.8, abs=0.03)


@pytest.mark.parametrize("gamma", [-0.4, -0.5, -0.65])
def test_intervals_hold_the_truth_in_most_of_forty_cases(gamma):
    accs, answers = 0, 0
    truth = 0.95 - 0.45 * 60**gamma
    for seed in range(40):
        points = points_on(0.05, 0.45, full=20, noise=0.05, gamma=gamma, seed=seed)
        found = forecast(points, truth)
        low, high = found.curve.band(60.0)[:, 0]
        accs += low <= truth <= high
        total = found.per_class_total
        answers += total is not None and total["low"] <= 60 <= (total["high"] or np.inf)
    assert accs >= 34
    assert answers >= 34


def test_intervals_are_not_so_wide_that_they_hold_anything():
    found = forecast(points_on(0.15, 0.6, full=100, noise=0.05), 0.8)
    assert 0.01 < found.fit["error_at_4x"] < 0.05
    needed = found.per_class_needed
    assert 0 < needed["low"] < needed["estimate"] < needed["high"] < 3000


def test_a_small_validation_set_widens_the_interval():
    points = points_on(0.05, 0.4, full=20, noise=0.02)
    wide, narrow = fit(points, val_images=40).band(20.0), fit(points).band(20.0)
    assert wide[0] < narrow[0]
    assert wide[1] > narrow[1]


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
    assert found.words == "reached already with 5 per class"


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


def test_the_curve_never_leaves_the_range_of_an_accuracy():
    curve = Curve(5, 0.0, 1.5, -0.5, 0.0, np.array([[0.0], [1.5], [-0.5], [1.0]]), {})
    assert curve.acc(1.0) == 0
    assert curve.band(1.0).tolist() == [[0.0], [0.0]]


def test_what_is_written_follows_the_contract(tmp_path: Path):
    found = forecast(points_on(0.05, 0.4, full=20, noise=0.03), 0.9, val_images=200)
    write(found, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "forecast.json",
        "learning_curve.png",
    ]
    written = json.loads((tmp_path / "forecast.json").read_text())
    assert written == found.as_dict()
    assert set(written) == {
        *("target_acc", "reachable", "already", "verdict", "per_class_now", "per_class_needed"),
        *("per_class_total", "asymptote", "points", "fit", "words"),
    }
    assert set(written["per_class_needed"]) == {"estimate", "low", "high"}
    assert set(written["asymptote"]) == {"acc", "low", "high"}
    assert {*written["points"][0]} == {"per_class", "replicate", "acc"}
    assert (
        written["asymptote"]["low"] <= written["asymptote"]["acc"] <= written["asymptote"]["high"]
    )
    assert (tmp_path / "learning_curve.png").read_bytes().startswith(b"\x89PNG")


def test_the_picture_shows_points_target_and_needed_size():
    found = forecast(points_on(0.02, 0.4, full=20, noise=0.02), 0.92)
    figure = draw(found)
    labels = {text.get_text() for legend in figure.legends for text in legend.get_texts()}
    assert {
        "replicates",
        "fitted curve",
        "extrapolated",
        "target 0.92",
        "now: 20 per class",
    } < labels
    assert f"needed: {found.per_class_total['estimate']} per class in all" in labels
    [axes] = figure.axes
    assert axes.get_xscale() == "log"
    assert "per class" in axes.get_xlabel()


def test_the_picture_extrapolates_nothing_where_nothing_can_be_said(tmp_path: Path):
    found = forecast(falling(), 0.95)
    write(found, tmp_path)
    labels = {text.get_text() for legend in draw(found).legends for text in legend.get_texts()}
    assert "extrapolated" not in labels
    assert "fitted curve" not in labels
