import numpy as np
import pytest
from advice.known import Known, known

from regraft.advice import similarity, size
from regraft.advice.placement import Placement, Thresholds, place
from regraft.advice.size import Size

LINES = Thresholds(similar_from=0.75, small_gain=0.025, small_per_class=50)


def placed(data: Known, seed: int) -> Placement:
    last = ({"stage1": features["stage1"]} for features in (data.pretrained, data.random))
    found = similarity.measure(*last, data.labels, seed=seed)
    measured = size.measure(
        (data.pretrained["stage1"], data.labels),
        (data.val["stage1"], data.val_labels),
        images=len(data.labels),
        sizes=6,
        replicates=3,
        seed=seed,
    )
    return place(found, measured, LINES)


@pytest.mark.slow
@pytest.mark.parametrize("similar", [True, False])
@pytest.mark.parametrize("small", [True, False])
def test_a_known_cell_is_found_for_nine_of_ten_seeds(similar, small):
    truth = f"{'small' if small else 'big'}_{'similar' if similar else 'dissimilar'}"
    cells = [placed(known(similar=similar, small=small, seed=s), s).quadrant for s in range(10)]
    assert cells.count(truth) >= 9, cells


@pytest.mark.parametrize(("similar", "small"), [(True, True), (False, True)])
def test_a_known_cell_is_found(similar, small):
    data = known(similar=similar, small=small, seed=3)
    found = placed(data, 3)
    assert (found.is_similar, found.is_small) == (similar, small)
    assert sum(found.cells.values()) == pytest.approx(1)


def without_curve(images: int) -> Size:
    return Size(images, 10, 2, 9, None, (), np.array([]), "too few")


def test_without_a_curve_images_per_class_decide():
    assert place(None, without_curve(499), LINES).small == 1
    assert place(None, without_curve(500), LINES).small == 0


def test_without_similarity_there_is_no_cell():
    found = place(None, without_curve(20), LINES)
    assert found.quadrant is None and found.cells == {} and not found.is_sure
    assert not found.is_similar


def test_a_cell_is_sure_only_if_both_answers_are():
    assert Placement(similar=0.95, small=0.99).is_sure
    assert not Placement(similar=0.95, small=0.9).is_sure
    assert Placement(similar=0.95, small=0.6).quadrant == "small_similar"
    assert Placement(similar=0.4, small=0.3).quadrant == "big_dissimilar"
