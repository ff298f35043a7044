"""Searches as their command leaves them, with trials that fail and diverge."""

import re

import pytest
from omegaconf import OmegaConf
from runs import TINY

pytest.importorskip("hydra_plugins.hydra_optuna_sweeper")


def test_failed_and_diverged_trials_stop_no_search(finished_run):
    space = ["optimizer.lr=choice(3e-3,1e30)", "data.per_class=choice(3,999)"]
    done = finished_run("-m", "hydra/sweeper=optuna", "hydra.sweeper.n_trials=5", *TINY, *space)
    found = done.results
    good = {"optimizer.lr=0.003", "data.per_class=3"}
    assert [r["status"] == "finished" for r in found] == [good <= {*r["overrides"]} for r in found]
    failed = [result["error"] for result in found if result["status"] == "failed"]
    assert 0 < len(failed) < 5
    assert any("loss became" in error for error in failed), failed
    assert done.returncode == 1
    assert done.stderr.count("error: ") == len(done.stderr.splitlines()) == len(failed)
    assert "job 0 (of 0 to 4): " in done.stdout
    assert f"5 jobs, {len(failed)} failed" in done.stdout
    best = r"best of the search: job \d, .*: optimizer.lr=0.003 data.per_class=3\n"
    assert re.search(best, done.stdout)


def test_a_search_maximises_and_makes_the_same_choices_again(finished_run):
    words = ("-m", "hydra/sweeper=optuna", "sweep=search", "hydra.sweeper.n_trials=2", *TINY)
    found = []
    for more in ((), ("tags=[again]",)):
        done = finished_run(*words, *more)
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""
        best = OmegaConf.load(done.folder / "optimization_results.yaml")
        assert best.best_value == max(trial["metrics"]["val/acc"] for trial in done.results)
        found.append([[w for w in r["overrides"] if w not in more] for r in done.results])
    assert found[0] == found[1]
    assert len({tuple(words) for words in found[0]}) == 2


def test_a_search_in_which_nothing_works_and_one_without_its_sweeper_end_in_a_line(train):
    words = ("-m", "logger=none", "trainer.max_epochs=1", "freeze=first", "freeze.stages=9")
    done = train(*words, "hydra/sweeper=optuna", "hydra.sweeper.n_trials=1")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "error: no job of the search has a result"
    done = train(*words, "sweep=search")
    assert done.returncode == 1
    assert done.stderr.strip().endswith("by hydra/sweeper=optuna only: add it")
    assert done.stderr.count("\n") == 1
