import matplotlib
import pytest
from learning_curves import falling, points_on
from matplotlib.figure import Figure
from pictures import pixels

from regraft.figures.learning_curve import compose, draw, draw_several
from regraft.forecast import forecast


@pytest.fixture
def reachable():
    return forecast(points_on(0.02, 0.4, full=20, noise=0.02), 0.92)


def composed(found):
    compose(figure := Figure(), found)
    labels = {text.get_text() for legend in figure.legends for text in legend.get_texts()}
    return figure, labels


def test_the_picture_shows_points_target_and_needed_size(reachable):
    figure, labels = composed(reachable)
    assert labels == {
        "nominal 90 % interval",
        "fitted, mean of two laws",
        "law with exponent −1/2",
        "law with free exponent",
        "extrapolated",
        f"levels off at {reachable.asymptote['acc']:.2f}",
        "replicates",
        "mean of replicates",
        "target 0.92",
        "now: 20 per class",
        f"needed: {reachable.per_class_total['estimate']} per class in all",
        "and its interval",
    }
    [axes] = figure.axes
    assert axes.get_xscale() == "log"
    assert "per class" in axes.get_xlabel()


def test_the_picture_extrapolates_nothing_where_nothing_can_be_said():
    _, labels = composed(forecast(falling(), 0.95))
    assert labels == {"replicates", "mean of replicates", "target 0.95", "now: 16 per class"}


def test_the_users_matplotlib_settings_change_nothing(tmp_path, reachable):
    draw(reachable, tmp_path / "a.png")
    with matplotlib.rc_context({"font.size": 22, "axes.facecolor": "black", "text.color": "red"}):
        draw(reachable, tmp_path / "b.png")
    assert pixels(tmp_path / "a.png").shape == (660, 1275)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "b.png"]


def test_several_curves_get_a_panel_each_and_one_legend(tmp_path, reachable):
    three = {"finetune": reachable, "scratch": forecast(falling(), 0.92), "x" * 99: reachable}
    draw_several(three, tmp_path / "c.png")
    height, width = pixels(tmp_path / "c.png").shape
    assert 500 < height < 1200 and 800 < width < 1300
