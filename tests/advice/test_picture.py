from dataclasses import replace

import pytest
from advice.test_recommend import AUTO, evidence
from learning_curves import points_on

from regraft.advice import picture
from regraft.advice.picture import _Scale
from regraft.curve import fit


def measured(**shape):
    points = tuple(points_on(0.05, 0.4, full=50))
    curve = fit(points)
    found = replace(
        evidence(**shape).size, curve=curve, points=points, draws=curve.gains(2), why_not=""
    )
    return replace(evidence(**shape), size=found)


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
    before = path.read_bytes()
    assert before[:4] == b"\x89PNG" and len(before) > 15_000
    picture.draw(make(similar=similar, small=0.9), AUTO, path, title="what it is")
    assert path.read_bytes() == before
