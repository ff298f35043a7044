import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from learning_curves import falling, judged, make_collect, points_on

from regraft.collect import measure
from regraft.errors import RegraftError
from regraft.forecast import forecast, with_classes
from regraft.forecast_file import write


@pytest.mark.parametrize(
    ("smallest_class", "expected"),
    [(3, (1, 2, 3)), (5, (1, 2, 3, 4, 5)), (6, (1, 2, 3, 4, 5, 6)), (100, (5, 9, 17, 30, 55, 100))],
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


def test_a_class_with_two_images_is_refused_by_its_name():
    with pytest.raises(RegraftError, match=r"at least three sizes.*smallest class has 2"):
        make_collect().subset_sizes(2)
    labels = np.repeat([0, 1, 2], [9, 2, 9])
    with pytest.raises(RegraftError, match="class 'owl' has 2 training images: .* three sizes"):
        measure(make_collect(), labels, lambda i, r: 0.5, names=("cat", "owl", "pug"))


@pytest.mark.parametrize("target_acc", [0.0, 1.0, 95.0, -0.1, float("nan")])
def test_a_target_that_is_no_accuracy_is_refused(target_acc):
    with pytest.raises(RegraftError, match="target_acc"):
        make_collect(target_acc=target_acc)


@pytest.mark.parametrize(("key", "value"), [("sizes", 2), ("replicates", 2)])
def test_too_few_sizes_or_replicates_are_refused(key, value):
    with pytest.raises(RegraftError, match=rf"strategy\.{key}={value} is too few"):
        make_collect(**{key: value})


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


def test_what_is_written_follows_the_contract(tmp_path: Path):
    points = points_on(0.05, 0.4, full=20, noise=0.03)
    found = forecast(points, 0.9, val_images=200, num_classes=3)
    found = with_classes(found, judged(), ("cat", "owl", "pug"))
    write(found, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "forecast.json",
        "forecast_classes.png",
        "learning_curve.png",
    ]
    written = json.loads((tmp_path / "forecast.json").read_text())
    assert written == found.as_dict()
    assert set(written) == {
        *("target_acc", "reachable", "already", "verdict", "per_class_now", "per_class_needed"),
        *("per_class_total", "images_needed", "images_total", "gains", "gains_words", "asymptote"),
        *("num_classes", "val_images", "points", "fit", "words", "by_class"),
    }
    assert written["images_needed"]["estimate"] == 3 * written["per_class_needed"]["estimate"]
    assert written["fit"]["laws"][0]["gamma"] == -0.5
    assert {*written["gains"]} == {"2", "4"}
    assert {*written["by_class"][0]} == {
        *("name", "val_images", "recall", "now", "at_2x", "mistaken_for"),
    }
    assert set(written["per_class_needed"]) == {"estimate", "low", "high"}
    assert set(written["asymptote"]) == {"acc", "low", "high"}
    assert {*written["points"][0]} == {"per_class", "replicate", "acc"}
    assert (
        written["asymptote"]["low"] <= written["asymptote"]["acc"] <= written["asymptote"]["high"]
    )
    assert (tmp_path / "learning_curve.png").read_bytes().startswith(b"\x89PNG")


def test_that_nothing_can_be_said_is_written_too(tmp_path: Path):
    found = forecast(falling(), 0.95)
    write(found, tmp_path)
    assert json.loads((tmp_path / "forecast.json").read_text()) == found.as_dict()
    assert (tmp_path / "learning_curve.png").read_bytes().startswith(b"\x89PNG")
