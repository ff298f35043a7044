import numpy as np
import pytest
from pictures import pixels
from PIL import Image

from regraft.figures.runs import confusion_matrix, curves

HISTORY = [
    {
        "epoch": e,
        "train/loss": 1 / (e + 1),
        "val/loss": 1.2 / (e + 1),
        "val/acc": 0.9 - (e - 6) ** 2 / 99,
    }
    for e in range(10)
]


@pytest.mark.parametrize(
    "history",
    [HISTORY, HISTORY[:1], [{"epoch": 0}], [], [{"epoch": 0, "train/loss": float("nan")}]],
    ids=["ten epochs", "one epoch", "nothing measured", "no epoch", "NaN"],
)
def test_curves_of_any_length_can_be_drawn(tmp_path, history):
    curves(history, tmp_path / "curves.png")
    assert pixels(tmp_path / "curves.png").shape == (390, 1040)


def test_the_best_epoch_is_the_highest_accuracy_unless_told(tmp_path):
    for name, best in (("found", None), ("same", 6), ("told", 2)):
        curves(HISTORY, tmp_path / name, best=best)
    found, same, told = ((tmp_path / n).read_bytes() for n in ("found", "same", "told"))
    assert found == same != told


# With 130 classes every second name is left out. A hundred and a thousand are drawn nightly.
@pytest.mark.parametrize("k", [2, 20, 130])
def test_a_confusion_matrix_of_any_size_fits(tmp_path, k):
    true = np.arange(3 * k) % k
    confusion_matrix(true, true[::-1], [f"class number {i}" for i in range(k)], tmp_path / "m.png")
    height, width = pixels(tmp_path / "m.png").shape
    assert height == width
    assert 300 < width < 1700


def test_right_answers_are_dark_on_the_diagonal(tmp_path):
    confusion_matrix([0, 0, 1, 1], [0, 0, 1, 1], ["a", "b"], tmp_path / "m.png")
    with Image.open(tmp_path / "m.png") as image:
        red, _, blue = np.moveaxis(np.asarray(image.convert("RGB"), dtype=int), -1, 0)
    down, along = np.nonzero((red < 30) & (blue > 90))
    assert np.corrcoef(down, along)[0, 1] > 0.6


def test_class_names_are_not_formulas_and_may_be_in_any_script(tmp_path):
    names = ["$\\frac{", "$5 and $10", "漢字\n", "a" * 300]
    confusion_matrix([0, 1, 2, 3], [0, 1, 2, 3], names, tmp_path / "m.png")
    assert pixels(tmp_path / "m.png").min() < 100
