"""Counts by class, against counting by hand; and that no place makes a table of class by class."""

import numpy as np
import pytest
from memory import at_most, counted
from pictures import pixels
from sklearn.metrics import confusion_matrix, f1_score, recall_score

from regraft import counts, scores
from regraft.classwise import Judged, outlooks
from regraft.figures import runs
from regraft.page import classes

MANY, IMAGES = 20_000, 50_000


def many():
    rng = np.random.default_rng(0)
    true, predicted = rng.integers(MANY, size=(2, IMAGES))
    predicted[::2] = true[::2]
    return true, predicted


@pytest.mark.parametrize("k", [2, 7, 90])  # of the last, most have no image
def test_counts_are_those_of_scikit_learn(k):
    rng = np.random.default_rng(k)
    true, predicted = rng.integers(k, size=(2, 40))
    found = counts.by_class(true, predicted, k)
    assert found.acc == pytest.approx((true == predicted).mean())
    assert found.macro_f1 == pytest.approx(f1_score(true, predicted, average="macro"))
    # Its balanced accuracy, which warns of a class that is predicted and never true.
    recall = recall_score(true, predicted, labels=np.unique(true), average="macro")
    assert found.balanced_acc == pytest.approx(recall)
    table = counts.confusion(true, predicted, k)
    assert np.array_equal(table.toarray(), confusion_matrix(true, predicted, labels=range(k)))
    assert np.array_equal(counts.picture(table, k), table.toarray())


def test_of_too_many_classes_neighbours_share_a_cell():
    table = counts.confusion([0, 1, 2, 3, 4], [0, 0, 3, 3, 0], 5)
    assert counts.picture(table, 3).tolist() == [[2, 0, 0], [0, 2, 0], [1, 0, 0]]
    assert counts.picture(table, 4).shape == (3, 3)


def test_the_full_table_would_not_fit():
    """What the tests below would not survive."""
    with at_most(2**30), pytest.raises(MemoryError):
        np.zeros((MANY, MANY))


def test_macro_f1_of_very_many_classes():
    with at_most(2**30):
        found = counts.by_class(*many(), MANY)
    assert found.acc == pytest.approx(0.5, abs=0.001)
    assert 0.4 < found.macro_f1 < 0.6
    assert 0.4 < found.balanced_acc < 0.6


def test_the_picture_of_very_many_classes(tmp_path):
    names = [f"class {number}" for number in range(MANY)]
    with at_most(2**30):
        runs.confusion_matrix(*many(), names, tmp_path / "m.png")
    assert pixels(tmp_path / "m.png").shape[0] > 1000


def test_the_page_of_very_many_classes():
    true, predicted = many()
    names = [f"class {number}" for number in range(MANY)]
    with counted() as most:
        made = classes.of(true.tolist(), predicted.tolist(), names)
    assert most[0] < 2**28
    assert len(made.rows) == classes.MOST_CLASSES
    assert made.rows[0].recall == 0


def test_which_of_very_many_classes_to_collect():
    true, predicted = (part[:2000] for part in many())
    names = [f"class {number}" for number in range(MANY)]
    with at_most(2**30):
        judged = [Judged(n, 0, counts.confusion(true, predicted, MANY)) for n in (1, 2)]
        found = outlooks(judged, names, None)
    assert judged[0].acc == pytest.approx(0.5, abs=0.001)
    assert len(found) == len(np.unique(true))


@pytest.mark.parametrize("score", [scores.logme, scores.hscore])
def test_scores_of_features_take_no_column_per_class(score):
    rng = np.random.default_rng(0)
    labels = np.arange(6000) % 100
    features = (rng.normal(size=(100, 4))[labels] + rng.normal(size=(6000, 4))).astype(np.float32)
    with counted() as most:
        assert np.isfinite(score(features, labels))
    assert most[0] < 2e6  # the targets of all classes would be 5 MB
