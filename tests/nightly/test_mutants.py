"""What the tests are worth: every small break of the engine is caught by one of `make test`."""

import pytest
from mutants import EVERY_DAY, caught_by, mutants

ALL = mutants()


@pytest.mark.parametrize("mutant", ALL, ids=[mutant.name for mutant in ALL])
def test_a_break_that_a_user_would_feel_is_caught(mutant):
    assert mutant.tests
    assert all(test.startswith(EVERY_DAY) for test in mutant.tests)
    assert caught_by(mutant) is not None


def test_there_are_enough_of_them():
    assert len(ALL) >= 50
