"""Random command lines each end in a fast run or in one clear line; `make fuzz` tries more."""

import fuzzing
import pytest

pytestmark = pytest.mark.slow


def test_random_command_lines_end_in_a_run_or_in_one_clear_line(tmp_path):
    answers = []
    for number in range(80):
        words, small = fuzzing.draw(7, number)
        answers.append(fuzzing.ask(words, tmp_path / "job", train=small))
    wrong = [answer for answer in answers if answer.kind in ("finding", "hang")]
    assert not wrong, "\n".join(f"{answer.words}: {answer.line}" for answer in wrong)
    kinds = [answer.kind for answer in answers]
    assert min(kinds.count(kind) for kind in ("ran", "begun", "refused")) >= 5


def test_a_finding_is_found(tmp_path):
    """What the test above could overlook: a traceback, two lines, a library's words."""
    assert fuzzing._judged(1, "", "Traceback (most recent call last)\nerror: x")[0] == "finding"
    assert fuzzing._judged(1, "", "error: x\nerror: y")[0] == "finding"
    assert fuzzing._judged(1, "", "error: lr: NoneType has no attribute")[0] == "finding"
    assert fuzzing._judged(0, "", "left over")[0] == "finding"
    assert fuzzing._judged(1, "", "error: lr=x: must be a number") == (
        "refused",
        "error: lr=x: must be a number",
    )
