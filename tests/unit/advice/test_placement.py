import numpy as np
import pytest
from known import LINES, placed

from regraft.advice.placement import Placement, place
from regraft.advice.size import Size


@pytest.mark.parametrize("similar", [True, False])
@pytest.mark.parametrize("small", [True, False])
def test_a_known_cell_is_found(similar, small):
    """With one seed; ten seeds of each cell are measured nightly."""
    found = placed(similar=similar, small=small, seed=3)
    assert (found.is_similar, found.is_small) == (similar, small)
    assert found.is_sure or (similar and small)  # what hardly any image is left to learn for
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
