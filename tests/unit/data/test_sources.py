import numpy as np
import pytest

from regraft.data import sources
from regraft.data.sources import fractals
from regraft.errors import RegraftError


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("REGRAFT_CACHE", str(tmp_path / "cache"))


def digits(seed, **changes):
    choices = {"split_seed": 0, "per_class": None, "fraction": None, "fold": None, "folds": 5}
    return sources.digits(seed, **(choices | changes))


def make_fractals(seed=0, **changes):
    counts = {"role": "target", "classes": 3, "train": 4, "val": 2, "test": 3}
    choices = {"size": 16, "fractal_seed": 0, "per_class": None, "fraction": None}
    return fractals(seed, **(counts | choices | changes))


def splits(source):
    return source.train, source.val, source.test


def test_digits_are_split_70_10_20_by_class_without_overlap():
    source = digits(0, per_class=None, split_seed=0)
    sizes = [len(split) for split in splits(source)]

    assert sum(sizes) == 1797
    assert np.allclose(np.array(sizes) / 1797, [0.7, 0.1, 0.2], atol=0.005)
    rows = [name.split("/")[1] for split in splits(source) for name in split.names]
    assert len(set(rows)) == 1797
    for split in splits(source):
        assert split.images.shape == (len(split), 8, 8)
        assert split.images.dtype == np.uint8
        assert split.images.max() == 255
        assert split.labels.dtype == np.int64
        assert len(np.bincount(split.labels, minlength=10).nonzero()[0]) == 10
    assert source.classes == tuple("0123456789")


def test_few_digits_change_with_the_seed_and_the_split_does_not():
    first, again, other = (digits(seed, per_class=5, split_seed=0) for seed in (0, 0, 1))

    assert len(first.train) == 50
    assert first.train.names == again.train.names != other.train.names
    assert first.test.names == other.test.names
    resplit = digits(0, per_class=5, split_seed=1)
    assert first.test.names != resplit.test.names


def test_few_keeps_images_labels_and_names_together():
    whole = digits(0, per_class=None, split_seed=0)
    small = whole.few(7, per_class=3, fraction=None)
    places = [whole.train.names.index(name) for name in small.train.names]

    assert np.array_equal(small.train.images, whole.train.images[places])
    assert np.array_equal(small.train.labels, whole.train.labels[places])
    assert set(small.train.names) <= set(whole.few(7, per_class=9, fraction=None).train.names)
    assert small.val is whole.val


def test_more_per_class_than_there_are_is_an_error_that_names_the_class():
    with pytest.raises(RegraftError, match="per_class=500, but class '0' has 124 training images"):
        digits(0, per_class=500, split_seed=0)


def test_fractals_have_the_counts_asked_for_and_no_image_twice():
    source = make_fractals()
    everything = [image.tobytes() for split in splits(source) for image in split.images]

    assert [len(split) for split in splits(source)] == [12, 6, 9]
    assert len(set(everything)) == 27
    assert source.classes == ("target_0", "target_1", "target_2")
    assert np.bincount(source.train.labels).tolist() == [4, 4, 4]
    assert source.train.names[:2] == ("train/0", "train/1")


def test_fractals_stay_a_memory_map():
    assert isinstance(make_fractals().train.images, np.memmap)


def test_more_fractals_to_train_on_leave_val_and_test_alone():
    few, many = make_fractals(train=2), make_fractals(train=5)

    assert np.array_equal(few.val.images, many.val.images)
    assert np.array_equal(few.test.images, many.test.images)


def test_fractals_follow_role_and_fractal_seed_and_few_follows_the_seed():
    base = make_fractals()
    assert not np.array_equal(base.test.images, make_fractals(role="source").test.images)
    assert not np.array_equal(base.test.images, make_fractals(fractal_seed=1).test.images)
    zero, one = (make_fractals(seed, train=20, per_class=2) for seed in (0, 1))
    assert zero.train.names != one.train.names
    assert np.array_equal(zero.test.images, one.test.images)


def test_over_all_folds_each_digit_is_for_test_once_and_for_val_once():
    folds = [digits(0, fold=fold) for fold in range(5)]
    for name in ("test", "val"):
        rows = [row.split("/")[1] for fold in folds for row in getattr(fold, name).names]
        assert sorted(map(int, rows)) == list(range(1797))
    for source in folds:
        used = [row.split("/")[1] for split in splits(source) for row in split.names]
        assert len(set(used)) == len(used) == 1797


def test_a_fraction_keeps_at_least_one_image_of_each_class_and_lies_within_a_larger_one():
    tenth, half = (digits(3, fraction=share).train for share in (0.1, 0.5))
    assert abs(len(tenth) / 1258 - 0.1) < 0.01
    assert set(tenth.names) < set(half.names)
    assert np.bincount(digits(3, fraction=0.0001).train.labels).tolist() == [1] * 10


def test_two_answers_to_how_many_are_refused():
    with pytest.raises(RegraftError, match=r"per_class=5 and data.fraction=0.1 both say"):
        digits(0, per_class=5, fraction=0.1)
