import base64
import io

import numpy as np
import pytest
from PIL import Image

from regraft.page import classes
from regraft.statistics import wilson


def test_a_few_classes_are_counted():
    made = classes.of([0, 0, 0, 0, 1, 1], [0, 0, 0, 1, 1, 1], ["cat", "dog", "owl"])

    assert made.counts == ((3, 1, 0), (0, 2, 0), (0, 0, 0))
    assert made.shades[0] == (87, 50, 0)
    assert made.pairs == (("cat", "dog", 1),)
    assert made.absent == 1
    cat, dog = made.rows  # the lowest recall first
    assert (cat.name, cat.images, cat.recall, cat.precision) == ("cat", 4, 0.75, 1.0)
    assert (cat.low, cat.high) == wilson(0.75, 4)
    assert (cat.taken_for, cat.taken) == ("dog", 1)
    assert (dog.recall, dog.precision, dog.taken_for) == (1.0, pytest.approx(2 / 3), "")


def test_many_classes_are_a_picture_and_the_worst_of_them():
    k = 150
    true = np.repeat(np.arange(k), 2)
    said = true.copy()
    said[::2][:30] = 149
    made = classes.of(true.tolist(), said.tolist(), [f"c{i}" for i in range(k)])

    assert made.counts == ()
    with Image.open(io.BytesIO(base64.b64decode(made.picture))) as image:
        pixels = np.asarray(image)
    assert pixels.shape == (k, k)
    assert pixels[140, 140] == 0 and pixels[140, 0] == 255 and pixels[0, 149] < 128
    assert len(made.rows) == classes.MOST_CLASSES
    assert {row.name for row in made.rows[:30]} == {f"c{i}" for i in range(30)}
    assert len(made.pairs) == classes.MOST_PAIRS
