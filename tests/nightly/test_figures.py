"""Pictures that take seconds to draw: as many classes, contenders and cells as anybody has."""

import numpy as np
import pictures
import pytest

from regraft.figures import pareto
from regraft.figures.pareto import Point
from regraft.figures.runs import confusion_matrix


@pytest.mark.parametrize("k", [100, 1000])
def test_a_confusion_matrix_of_many_classes_fits(tmp_path, k):
    true = np.arange(3 * k) % k
    confusion_matrix(true, true[::-1], [f"class number {i}" for i in range(k)], tmp_path / "m.png")
    height, width = pictures.pixels(tmp_path / "m.png").shape
    assert height == width
    assert 300 < width < 1700


def test_of_many_contenders_and_cells_the_picture_stays_readable(tmp_path):
    costs = {"images_forwarded": 4000, "params_trained": 10_000}
    points = [
        Point(f"lr={i}", acc, (acc - 0.05, acc + 0.05), {**costs, "wall_s": i + 1})
        for i, acc in enumerate(0.5 + np.arange(40) / 1000)
    ]
    pareto.draw({str(n): points for n in range(13)}, tmp_path / "a.png", title="t")
    assert 4000 < pictures.pixels(tmp_path / "a.png").shape[0] < 6000
