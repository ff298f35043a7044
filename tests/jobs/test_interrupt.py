"""Ctrl-C in a sweep whose jobs run in its own process; cli/test_sweep.py has the other kind."""

import json

import pytest
import stops
from runs import TINY, stripes


@pytest.fixture(autouse=True)
def untaken_signals():
    with stops.untaken_signals():
        yield


def test_ctrl_c_ends_jobs_that_joblib_runs_one_at_a_time(train, tmp_path):
    killer = f"{{_target_:killer.Killer,folder:'{tmp_path}',step:5,name:SIGINT}}"
    words = [word.replace("{stripes}", str(stripes())) for word in TINY]
    words += ["trainer.max_epochs=3", "seed=0,1", "hydra.sweep.dir=sweep"]
    words += ["hydra/launcher=joblib", "hydra.launcher.n_jobs=1", f"+callbacks.killer={killer}"]
    done = train("-m", *words, REGRAFT_TRUST="killer")
    assert done.returncode == 130
    [path] = tmp_path.glob("sweep/*/result.json")
    result = json.loads(path.read_text())
    assert result["status"] == "interrupted"
    assert result["error"] == "interrupted at step 5; go on with: regraft resume sweep"
    assert result["error"] in done.stderr
    assert (tmp_path / "sweep" / "sweep.md").exists()
