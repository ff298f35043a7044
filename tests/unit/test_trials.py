"""A trial of the config (trainer.fast_dev_run) is told from a training wherever runs are read."""

import pytest
from finished_runs import finished, opinion, truth

from regraft.comparison import read_sweep
from regraft.ensemble.members import gather
from regraft.errors import RegraftError
from regraft.trained import checkpoint_of


@pytest.fixture
def sweep(tmp_path):
    """Two jobs, of which the second is a trial."""
    for number, trial in enumerate((False, True)):
        said = {}
        for split in ("val", "test"):
            names, labels = truth(split, 12)
            said[split] = names, labels, opinion(number, labels)
        finished(tmp_path / str(number), said, trial=trial)
    return tmp_path


def test_the_report_counts_it(sweep):
    told = read_sweep(sweep).summary
    assert "2 jobs, 0 failed, 1 of trainer.fast_dev_run whose numbers say nothing; " in told


def test_nothing_is_made_of_it(sweep):
    for ask in (lambda: gather([sweep], {}), lambda: checkpoint_of(sweep / "1")):
        with pytest.raises(RegraftError, match="1: this run was a trial .trainer.fast_dev_run"):
            ask()
