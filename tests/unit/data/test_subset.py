import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from regraft.data.subset import Division, few, split
from regraft.errors import RegraftError

CLASSES = ("cat", "dog", "fox")
LABELS = np.random.default_rng(0).permutation(np.repeat([0, 1, 2], [30, 40, 50]))


@given(st.integers(1, 30), st.integers(1, 30), st.integers(0, 2**32 - 1))
def test_a_smaller_subset_lies_within_a_larger_one_and_is_balanced(a, b, seed):
    small, large = (few(LABELS, CLASSES, per_class=n, seed=seed) for n in sorted((a, b)))

    assert set(small) <= set(large)
    assert np.bincount(LABELS[small]).tolist() == [min(a, b)] * 3
    assert (np.diff(small) > 0).all()


def test_the_same_seed_gives_the_same_images_and_seed_0_others_than_seed_1():
    first, again, other = (few(LABELS, CLASSES, per_class=5, seed=seed) for seed in (0, 0, 1))

    assert first.tolist() == again.tolist()
    assert first.tolist() != other.tolist()


def test_a_class_that_is_too_small_is_named_with_what_to_do():
    with pytest.raises(
        RegraftError, match=r"per_class=31, but class 'cat' has 30 .*set data.per_class=30"
    ):
        few(LABELS, CLASSES, per_class=31, seed=0)


@pytest.mark.parametrize("per_class", [0, -1])
def test_a_subset_of_nothing_is_an_error(per_class):
    with pytest.raises(RegraftError, match="at least 1"):
        few(LABELS, CLASSES, per_class=per_class, seed=0)


@given(
    st.lists(st.integers(3, 60), min_size=2, max_size=5),
    st.floats(0.01, 0.49),
    st.floats(0.01, 0.49),
    st.integers(0, 1000),
)
def test_parts_share_no_image_lose_none_and_have_every_class(counts, val, test, seed):
    labels = np.repeat(np.arange(len(counts)), counts)
    parts = split(labels, [str(i) for i in range(len(counts))], fractions=(val, test), seed=seed)

    assert sorted(np.concatenate(parts)) == list(range(len(labels)))
    assert all(set(labels[part]) == set(labels) for part in parts)


def test_parts_are_as_large_as_asked_in_every_class():
    train, val, test = split(LABELS, CLASSES, fractions=(0.1, 0.2), seed=0)

    assert np.bincount(LABELS[train]).tolist() == [21, 28, 35]
    assert np.bincount(LABELS[val]).tolist() == [3, 4, 5]
    assert np.bincount(LABELS[test]).tolist() == [6, 8, 10]


def test_a_split_depends_on_its_seed_only():
    first, again, other = (split(LABELS, CLASSES, fractions=(0.2,), seed=s)[1] for s in (0, 0, 1))

    assert first.tolist() == again.tolist()
    assert first.tolist() != other.tolist()


def test_a_class_smaller_than_the_split_is_named_with_the_number_needed():
    labels = np.array([0, 0, 0, 1, 1])
    with pytest.raises(
        RegraftError, match=r"'dog' has 2 images, but .* needs at least 3 per class"
    ):
        split(labels, ("cat", "dog"), fractions=(0.1, 0.1), seed=0)


@pytest.mark.parametrize("fractions", [(0.5, 0.5), (0.0, 0.2), (0.2, 1.1)])
def test_fractions_that_leave_nothing_are_an_error(fractions):
    with pytest.raises(RegraftError, match="above 0 and their sum below 1"):
        split(LABELS, CLASSES, fractions=fractions, seed=0)


def division(**changes):
    choices = {"val_fraction": 0.1, "test_fraction": 0.2, "split_seed": 0, "fold": 0, "folds": 4}
    return Division(**(choices | changes))


def test_a_fold_is_stratified_and_the_next_one_is_for_val():
    first, second = (division(fold=fold).parts(LABELS, CLASSES, ["val", "test"]) for fold in (0, 1))
    assert first["val"].tolist() == second["test"].tolist()
    assert np.abs(np.bincount(LABELS[first["test"]]) - np.array([30, 40, 50]) / 4).max() < 1
    assert sorted(np.concatenate(list(first.values()))) == list(range(120))


def test_where_test_is_given_the_fold_is_for_val():
    parts = division().parts(LABELS, CLASSES, ["val"])
    assert parts.keys() == {"train", "val"}
    assert (len(parts["train"]), len(parts["val"])) == (90, 30)


def test_folds_never_part_a_group():
    groups = np.arange(120) // 3
    parts = division().parts(np.sort(LABELS), CLASSES, ["val", "test"], groups)
    homes = [set(groups[part]) for part in parts.values()]
    assert not (homes[0] & homes[1] or homes[0] & homes[2] or homes[1] & homes[2])


@pytest.mark.parametrize(
    ("changes", "missing", "message"),
    [
        ({"fold": 4}, ["test"], "data.fold=4: with data.folds=4 the folds are 0 to 3"),
        ({"folds": 2}, ["val", "test"], "set data.folds=3 or more"),
        ({}, [], "comes with train, val and test"),
        ({"folds": 31}, ["test"], "class 'cat' has 30 images, fewer than data.folds=31"),
    ],
)
def test_a_fold_that_cannot_be_had_is_one_line(changes, missing, message):
    with pytest.raises(RegraftError, match=message):
        division(**changes).parts(LABELS, CLASSES, missing)


def test_more_folds_than_groups_are_refused():
    with pytest.raises(RegraftError, match="there are 3 groups only"):
        division(folds=9).parts(LABELS, CLASSES, ["test"], LABELS)


def by_fractions(**changes):
    return division(fold=None, **changes)


def sizes_of(parts):
    return {name: len(part) for name, part in parts.items()}


def test_a_fraction_of_0_is_no_split():
    for name, lost in (("val_fraction", "val"), ("test_fraction", "test")):
        parts = by_fractions(**{name: 0}).parts(LABELS, CLASSES, ["val", "test"])
        assert parts.keys() == {"train", "val", "test"}
        assert len(parts[lost]) == 0
        assert sorted(np.concatenate(list(parts.values()))) == list(range(120))
    assert sizes_of(by_fractions(val_fraction=0).parts(LABELS, CLASSES, ["val"])) == {
        "train": 120,
        "val": 0,
    }
    with pytest.raises(RegraftError, match="leave no image to judge by; keep one"):
        by_fractions(val_fraction=0, test_fraction=0).parts(LABELS, CLASSES, ["val", "test"])


def test_a_set_with_its_own_val_is_judged_by_it_or_by_a_test_that_is_split_off():
    for judge_by, test in (("val", 0), ("test", 24)):
        parts = by_fractions(judge_by=judge_by).parts(LABELS, CLASSES, ["test"])
        assert sizes_of(parts) == {"train": 120 - test, "test": test}
    own_test = by_fractions(judge_by="val").parts(LABELS, CLASSES, ["val"])
    assert sizes_of(own_test) == {"train": 108, "val": 12}
    assert sizes_of(division(judge_by="val").parts(LABELS, CLASSES, ["test"])) == {
        "train": 90,
        "test": 30,
    }


def test_what_there_is_none_of_is_said():
    words = by_fractions().words({"val": 12, "test": 0})
    assert words == (
        "12 images for val split off train by class (split_seed=0); no test, so val judges, which "
        "also chooses the epoch"
    )
    assert by_fractions().words({"test": 0}).startswith("no test, so val judges")
    assert "no val, so the weights of the last epoch" in by_fractions().words({"val": 0})
