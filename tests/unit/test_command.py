import pytest

from regraft.command import overrides_first
from regraft.errors import RegraftError


@pytest.mark.parametrize(
    ("words", "ordered"),
    [
        (["seed=0,1", "-m", "strategy=scratch"], ["seed=0,1", "strategy=scratch", "-m"]),
        (["--cfg", "job", "seed=0"], ["seed=0", "--cfg", "job"]),
        (["seed=0", "--info"], ["seed=0", "--info"]),
        (["-sc", "query=bash"], ["query=bash", "-sc"]),
        (["-m"], ["-m"]),
        ([], []),
    ],
)
def test_flags_may_stand_anywhere(words, ordered):
    assert overrides_first(words) == ordered


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["-m", "--seed=3"], "--seed=3: no such flag; settings are key=value without dashes"),
        (["--cfg", "jobs"], "invalid choice: 'jobs'"),
        (["--config-name"], "--config-name/-cn: expected one argument"),
    ],
)
def test_a_flag_that_there_is_not_is_one_line(words, message, capsys):
    with pytest.raises(RegraftError) as caught:
        overrides_first(words)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert capsys.readouterr() == ("", "")
