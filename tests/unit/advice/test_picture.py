from dataclasses import replace
from functools import cache

import pytest
from advised import AUTO, evidence
from learning_curves import points_on

from regraft.advice import picture
from regraft.advice.picture import _Scale
from regraft.curve import fit


@cache
def curve():
    return fit(points_on(0.05, 0.4, full=50))


def measured(**shape):
    known = {"curve": curve(), "points": tuple(points_on(0.05, 0.4, full=50))}
    made = evidence(**shape)
    found = replace(made.size, **known, draws=curve().gains(2), why_not="")
    return replace(made, size=found)


def test_the_tables_lines_lie_in_the_middle():
    across = _Scale(1.0, 0.75, -0.2)
    assert (across(1.0), across(0.75), across(-0.2)) == (0, 0.5, 1)
    assert across(0.9) < across(0.8) < 0.5 < across(0.5)
    up = _Scale(0, 2.5, 10)
    assert (up(0), up(2.5), up(10), up(99)) == (0, 0.5, 1, 1)
    assert up.holds(5) and not up.holds(11)


@pytest.mark.parametrize("similar", [0.9, None])
@pytest.mark.parametrize("make", [measured, evidence])
def test_whatever_is_known_is_drawn(tmp_path, similar, make):
    path = tmp_path / "advice.png"
    picture.draw(make(similar=similar, small=0.9), AUTO, path, title="what it is")
    drawn = path.read_bytes()
    assert drawn[:4] == b"\x89PNG" and len(drawn) > 15_000


def test_the_same_advice_is_drawn_in_the_same_bytes(tmp_path):
    advice = measured(similar=0.9, small=0.9)
    for name in ("first", "again"):
        picture.draw(advice, AUTO, tmp_path / name, title="what it is")
    assert (tmp_path / "first").read_bytes() == (tmp_path / "again").read_bytes()
