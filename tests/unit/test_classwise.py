import numpy as np
import pytest
from learning_curves import judged, points_on

from regraft.classwise import LEAST, Judged, outlooks
from regraft.curve import fit

NAMES = ("cat", "owl", "pug")


@pytest.fixture
def curve():
    return fit(points_on(0.05, 0.4, full=20, noise=0.02))


def test_recall_at_every_size_and_what_a_class_is_mistaken_for(curve):
    cat = next(one for one in outlooks(judged(), NAMES, curve) if one.name == "cat")
    assert cat.val_images == 60
    assert cat.recall == pytest.approx({"5": 39 / 60, "10": 45 / 60, "20": 49 / 60})
    assert cat.mistaken_for == pytest.approx({"owl": 11 / 60})
    assert cat.now["estimate"] == pytest.approx(49 / 60)
    assert cat.now["low"] < 49 / 60 < cat.now["high"]


def test_more_images_are_expected_to_help_and_the_class_that_loses_most_comes_first(curve):
    counts = np.array([[20, 20, 0], [2, 38, 0], [0, 0, 40]])
    classes = outlooks([Judged(20, 0, counts)], NAMES, curve)
    assert [one.name for one in classes] == ["cat", "owl", "pug"]
    for one in classes[:2]:
        assert one.at_2x["low"] < one.at_2x["estimate"] < one.at_2x["high"] <= 1
    assert classes[0].at_2x["estimate"] > classes[0].now["estimate"]


def test_of_a_class_with_few_validation_images_nothing_is_expected(curve):
    by_name = {one.name: one for one in outlooks(judged((60, LEAST, LEAST - 1)), NAMES, curve)}
    assert by_name["owl"].at_2x is not None
    assert by_name["pug"].at_2x is None
    assert by_name["pug"].now["high"] - by_name["pug"].now["low"] > 0.3  # and said to be unsure


def test_without_a_curve_nothing_is_expected_of_any_class():
    assert {one.at_2x for one in outlooks(judged(), NAMES, None)} == {None}


def test_a_class_without_validation_images_is_left_out(curve):
    counts = np.array([[9, 1, 0], [0, 10, 0], [0, 0, 0]])
    assert [one.name for one in outlooks([Judged(5, 0, counts)], NAMES, curve)] == ["cat", "owl"]
