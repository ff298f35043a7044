from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import matplotlib
from pictures import pixels

from regraft.figures.quadrants import Bar, Panel, draw


def grid(**changes):
    bar = {"mean": 0.8, "interval": (0.75, 0.85), **changes}
    bars = (Bar("feature_extraction", **bar), Bar("finetune", 0.7, (0.6, 0.8)))
    return {"small_similar": Panel("fractals, 20 classes × 5 images", bars)}


@cache
def drawn(**changes):
    """The bytes of a picture, which is drawn once."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "q.png"
        draw(grid(**changes), path)
        return path.read_bytes()


def test_the_grid_is_twice_as_wide_as_a_readme_shows_it(tmp_path):
    draw(grid(), tmp_path / "q.png", title="$a title$", footnote="A footnote. " * 20)
    assert pixels(tmp_path / "q.png").shape[1] == 1660


def test_textbook_winner_tie_note_and_failure_are_each_seen_in_the_grid(tmp_path):
    looks = [
        {},
        {"textbook": True},
        {"mark": "winner"},
        {"mark": "tie"},
        {"note": "about 30 more images " * 8},
        {"mean": None, "interval": None, "note": "failed"},
        {"interval": None},
    ]
    seen = set()
    for number, look in enumerate(looks):
        (tmp_path / f"{number}.png").write_bytes(drawn(**look))
        seen.add(pixels(tmp_path / f"{number}.png").tobytes())
    assert len(seen) == len(looks)


def test_a_grid_of_nothing_can_be_drawn(tmp_path):
    draw({}, tmp_path / "q.png")
    assert pixels(tmp_path / "q.png").min() < 100


def test_the_users_matplotlib_settings_change_nothing_and_are_not_changed(tmp_path):
    before_any = drawn()
    with matplotlib.rc_context({"font.size": 22, "axes.facecolor": "black", "text.color": "red"}):
        before = dict(matplotlib.rcParams)
        draw(grid(), tmp_path / "a.png")
        assert dict(matplotlib.rcParams) == before
    assert (tmp_path / "a.png").read_bytes() == before_any
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]
