from matplotlib.figure import Figure
from pictures import pixels

from regraft.figures.reliability import compose, draw

FOUND = {
    "images": 1234,
    "temperature": 1.5,
    "threshold": 0.6,
    "before": [[5, 0.4, 0.2], [95, 0.98, 0.9]],
    "after": [[5, 0.35, 0.2], [95, 0.93, 0.9]],
}


def labels(figure: Figure) -> list[str]:
    return [text.get_text() for legend in figure.legends for text in legend.get_texts()]


def test_both_errors_and_the_threshold_are_told(tmp_path):
    compose(figure := Figure(), FOUND)
    assert labels(figure) == [
        "as sure as right",
        "as it is: error 0.086",
        "temperature 1.50: error 0.036",
        "abstains below 0.600",
    ]
    assert figure.get_suptitle() == "100 test images, temperature of 1,234 validation images"
    draw(FOUND, tmp_path / "a.png")
    assert pixels(tmp_path / "a.png").min() < 100


def test_a_run_that_does_not_know_on_how_many_images_it_stands_is_drawn_too():
    compose(figure := Figure(), FOUND | {"images": None})
    assert figure.get_suptitle() == "100 test images"


def test_without_a_threshold_there_is_no_line_of_it():
    compose(figure := Figure(), FOUND | {"threshold": None})
    assert len(labels(figure)) == 3
