"""Searches through the real command line, with trials that fail and diverge."""

import json
import re

import pytest
from omegaconf import OmegaConf

pytest.importorskip("hydra_plugins.hydra_optuna_sweeper")
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("search")]
QUICK = ["logger=none", "trainer.max_epochs=1", "trainer.accelerator=cpu"]


def test_failed_and_diverged_trials_stop_no_search(tmp_path, train):
    space = ["optimizer.lr=choice(3e-3,1e30)", "data.per_class=choice(3,999)"]
    done = train("-m", "hydra/sweeper=optuna", "hydra.sweeper.n_trials=5", *QUICK, *space)
    [folder] = tmp_path.glob("outputs/sweeps/*/*")
    found = [json.loads(path.read_text()) for path in folder.glob("*/result.json")]
    good = {"optimizer.lr=0.003", "data.per_class=3"}
    assert [r["status"] == "finished" for r in found] == [good <= {*r["overrides"]} for r in found]
    failed = [result["error"] for result in found if result["status"] == "failed"]
    assert 0 < len(failed) < 5
    assert any("loss became" in error for error in failed), failed
    assert done.returncode == 1
    assert done.stderr.count("error: ") == len(done.stderr.splitlines()) == len(failed)
    assert "job 0 (of 0 to 4): " in done.stdout
    assert f"5 jobs, {len(failed)} failed" in done.stdout
    assert re.search(
        r"best of the search: job \d, .*: optimizer.lr=0.003 data.per_class=3\n", done.stdout
    )


def test_a_search_maximises_and_makes_the_same_choices_again(tmp_path, train):
    words = ["-m", "hydra/sweeper=optuna", "sweep=search", "hydra.sweeper.n_trials=2", *QUICK]
    words += ["data.per_class=3"]
    found = []
    for name in ("a", "b"):
        done = train(*words, f"hydra.sweep.dir={name}")
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""
        trials = [json.loads((tmp_path / name / n / "result.json").read_text()) for n in "01"]
        best = OmegaConf.load(tmp_path / name / "optimization_results.yaml")
        assert best.best_value == max(trial["metrics"]["val/acc"] for trial in trials)
        found.append([trial["overrides"] for trial in trials])
    assert found[0] == found[1]
    assert len({tuple(words) for words in found[0]}) == 2


def test_a_search_in_which_nothing_works_and_one_without_its_sweeper_end_in_a_line(train):
    done = train("-m", "hydra/sweeper=optuna", "hydra.sweeper.n_trials=1", *QUICK, "head.dropout=2")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "error: no job of the search has a result"
    done = train("-m", "sweep=search", *QUICK)
    assert done.returncode == 1
    assert done.stderr.strip().endswith("by hydra/sweeper=optuna only: add it")
    assert done.stderr.count("\n") == 1
