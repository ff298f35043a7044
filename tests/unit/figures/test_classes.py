from dataclasses import replace

from learning_curves import judged, points_on
from matplotlib.figure import Figure
from pictures import pixels

from regraft.classwise import outlooks
from regraft.curve import fit
from regraft.figures.classes import MOST, compose, draw

NAMES = ("cat", "owl", "pug")


def found():
    return outlooks(judged(), NAMES, fit(points_on(0.05, 0.4, full=20, noise=0.02)))


def test_every_class_has_its_line_and_what_it_is_taken_for():
    classes = found()
    compose(figure := Figure(), classes, len(classes), 20)
    [axes] = figure.axes
    assert {text.get_text() for text in axes.get_yticklabels()} == {*NAMES}
    [right] = axes.child_axes
    assert "as owl: 18 %" in {text.get_text() for text in right.get_yticklabels()}
    diamonds = [line for line in axes.lines if line.get_marker() == "D"]
    assert len(diamonds) == 2  # of the third nothing is expected, with five images
    labels = [text.get_text() for legend in figure.legends for text in legend.get_texts()]
    assert labels[1:] == ["now, 20 per class (95 %)", "expected with twice as many (nominal 90 %)"]


def test_of_many_classes_those_that_lose_most_are_drawn(tmp_path):
    [one, *_] = found()
    draw([replace(one, name=f"class {i}") for i in range(40)], tmp_path / "a.png", 20)
    draw([replace(one, name=f"class {i}") for i in range(MOST)], tmp_path / "b.png", 20)
    assert pixels(tmp_path / "a.png").shape == pixels(tmp_path / "b.png").shape
