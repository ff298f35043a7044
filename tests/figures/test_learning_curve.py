from learning_curves import falling, points_on

from regraft.figures.learning_curve import draw
from regraft.forecast import forecast


def test_the_picture_shows_points_target_and_needed_size():
    found = forecast(points_on(0.02, 0.4, full=20, noise=0.02), 0.92)
    figure = draw(found)
    labels = {text.get_text() for legend in figure.legends for text in legend.get_texts()}
    assert {
        "replicates",
        "fitted curve",
        "extrapolated",
        "target 0.92",
        "now: 20 per class",
    } < labels
    assert f"needed: {found.per_class_total['estimate']} per class in all" in labels
    [axes] = figure.axes
    assert axes.get_xscale() == "log"
    assert "per class" in axes.get_xlabel()


def test_the_picture_extrapolates_nothing_where_nothing_can_be_said():
    found = forecast(falling(), 0.95)
    labels = {text.get_text() for legend in draw(found).legends for text in legend.get_texts()}
    assert "extrapolated" not in labels
    assert "fitted curve" not in labels
