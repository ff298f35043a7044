import math

import pytest

from regraft.page import charts


def history(**columns):
    length = len(next(iter(columns.values())))
    names = {name.replace("_", "/"): values for name, values in columns.items()}
    return [
        {"epoch": float(epoch), **{name: values[epoch] for name, values in names.items()}}
        for epoch in range(length)
    ]


def points(line):
    return [tuple(map(float, pair.split(","))) for pair in line.points.split()]


def test_curves_fill_the_canvas_and_better_is_higher():
    rows = history(train_loss=[2.0, 1.0, 0.0], val_loss=[2.0, 1.5, 1.0], val_acc=[0.0, 0.5, 1.0])
    loss, accuracy = charts.learning(rows, best=1)

    assert [line.name for line in loss.lines] == ["training", "validation"]
    assert points(loss.lines[0]) == [(0, 0), (130, 65), (260, 130)]
    assert points(accuracy.lines[0]) == [(0, 130), (130, 65), (260, 0)]
    assert loss.marked == 130
    assert "0.000 in training, 1.000 in validation" in loss.words


def test_what_was_not_measured_is_left_out():
    rows = history(train_loss=[1.0, None, 0.5], val_loss=[None, math.nan, math.inf])
    [loss] = charts.learning(rows, best=None)

    assert [line.name for line in loss.lines] == ["training"]
    assert len(points(loss.lines[0])) == 2
    assert loss.marked is None
    assert charts.learning([], best=None) == []


def test_a_single_epoch_is_a_dot_in_the_middle():
    [loss] = charts.learning(history(val_loss=[0.7]), best=0)
    [line] = loss.lines
    [(x, y)] = points(line)
    assert line.dot
    assert (x, loss.marked) == (130, 130)
    assert 0 < y < 130


def test_of_very_many_epochs_some_are_drawn_and_the_last_always():
    [loss] = charts.learning(history(val_loss=[1 / (e + 1) for e in range(1001)]), best=None)
    assert 50 < len(points(loss.lines[0])) <= charts.MOST_POINTS
    assert points(loss.lines[0])[-1][0] == 260


def test_every_curve_is_inside_its_axes():
    for values in ([1e-9, 3e-9], [1e6, 2.5e7], [-3.0, 4.0], [0.1, 0.1], [0.99, 1.0]):
        [loss] = charts.learning(history(val_loss=values), best=None)
        assert all(0 <= x <= 260 and 0 <= y <= 130 for x, y in points(loss.lines[0]))
        assert 2 <= len(loss.y_ticks) <= 7


def test_a_reliability_diagram_has_a_circle_for_each_bin():
    made = charts.reliability("before", [[25, 0.5, 0.25], [75, 1.0, 1.0]])
    assert made.points[0][:2] == (80, 120)
    assert made.points[1][:2] == (160, 0)
    assert made.points[0][2] < made.points[1][2]
    assert "confidence 0.50: 0.25 of 25 right" in made.words


@pytest.mark.parametrize("diagram", [None, [], 3, [[1, 2]], [["a", 1, 1]], [[1, math.nan, 0.1]]])
def test_what_is_no_diagram_is_none(diagram):
    assert charts.reliability("before", diagram) is None
