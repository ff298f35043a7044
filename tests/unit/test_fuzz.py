"""Random command lines each end in one clear line, or where the computing would begin.

Many more are tried in tests/nightly, and by `make fuzz`.
"""

import fuzzing
import pytest


@pytest.mark.parametrize("number", range(12))
def test_a_random_command_line_ends_in_one_clear_line_or_would_begin(number, tmp_path):
    words, _ = fuzzing.draw(7, number)
    answer = fuzzing.ask(words, tmp_path / "here", train=False)
    assert answer.kind in {"begun", "refused", "ran"}, (words, answer.line)


def test_a_finding_is_found():
    """What the test above could overlook: a traceback, two lines, a library's words."""
    assert fuzzing._judged(1, "", "Traceback (most recent call last)\nerror: x")[0] == "finding"
    assert fuzzing._judged(1, "", "error: x\nerror: y")[0] == "finding"
    assert fuzzing._judged(1, "", "error: lr: NoneType has no attribute")[0] == "finding"
    assert fuzzing._judged(0, "", "left over")[0] == "finding"
    assert fuzzing._judged(1, "", "error: lr=x: must be a number") == (
        "refused",
        "error: lr=x: must be a number",
    )
