from contextlib import contextmanager

import pictures
import pytest

from regraft.figures import pareto
from regraft.figures.pareto import Point

COST = {"wall_s": 12.0, "images_forwarded": 4000, "params_trained": 10_000}


def point(name, acc, **costs):
    return Point(name, acc, (acc - 0.05, acc + 0.05), {**COST, **costs})


def test_who_costs_more_and_is_no_better_is_not_on_the_front():
    cheap, dear, worse = point("a", 0.8), point("b", 0.9, wall_s=50), point("c", 0.85, wall_s=60)
    assert pareto.front([dear, worse, cheap], "wall_s") == [cheap, dear]
    assert pareto.front([dear, worse, cheap], "params_trained") == [dear]


def test_the_picture_grows_with_the_cells_and_shows_every_point(tmp_path):
    points = [point("one", 0.8), point("two", 0.9, wall_s=500)]
    pareto.draw({"cell": points}, tmp_path / "1.png", title="t")
    pareto.draw(dict.fromkeys("ab", points), tmp_path / "2.png", title="t")
    pareto.draw(dict.fromkeys("ab", points[:1]), tmp_path / "less.png", title="t")
    single, double, less = (pictures.pixels(tmp_path / f"{n}.png") for n in ("1", "2", "less"))
    for cells, shades in ((1, single), (2, double)):
        assert shades.shape[1] == 1350
        assert 300 * cells < shades.shape[0] < 600 * cells
    assert (double < 200).sum() > (less < 200).sum()


def test_a_cost_that_nobody_recorded_leaves_its_panel_empty(tmp_path):
    points = [Point("one", 0.8, None, {}), Point("two", 0.9, None, {"wall_s": 3.0})]
    pareto.draw({"cell": points}, tmp_path / "a.png", title="t")
    assert pictures.pixels(tmp_path / "a.png").size


MANY = [point(f"lr={i}", 0.5 + i / 1000, wall_s=i + 1) for i in range(40)]


def test_of_many_contenders_the_picture_stays_readable(tmp_path):
    pareto.draw({"cell": MANY}, tmp_path / "a.png", title="t")
    assert 400 < pictures.pixels(tmp_path / "a.png").shape[0] < 700


class SizeError(Exception):
    """Ends a drawing before it takes seconds."""


def test_of_many_cells_the_picture_stays_readable(tmp_path, monkeypatch):
    @contextmanager
    def size(_, width, height, dpi):
        raise SizeError(width * dpi, height * dpi)
        yield

    monkeypatch.setattr(pareto, "drawing", size)
    with pytest.raises(SizeError) as known:
        pareto.draw({str(n): MANY for n in range(13)}, tmp_path / "a.png", title="t")
    width, height = known.value.args
    assert width == 1350
    assert 4000 < height < 6000
