"""Sweeps that end before a network is built; those that train are in jobs/test_sweep.py."""

import json

from regraft.lock import held
from regraft.paths import SWEEP


def test_a_report_on_nothing_is_one_line(regraft):
    done = regraft("report", "nothing")
    assert done.returncode == 1
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_sweep_at_which_somebody_works_is_left_to_them(tmp_path, regraft):
    folder = tmp_path / "sweep"
    folder.mkdir()
    plan = {"words": ["seed=0,1"], "jobs": 2, "overrides": [["seed=0"], ["seed=1"]]}
    (folder / SWEEP).write_text(json.dumps(plan))
    with held(folder):
        done = regraft("resume", "sweep")
    assert done.returncode == 1
    assert done.stderr == "error: sweep is running: another process is at work there\n"
    assert [path.name for path in folder.iterdir() if path.is_dir()] == []


def test_what_is_no_run_is_not_gone_on_with(tmp_path, regraft):
    (tmp_path / "moved").mkdir()
    done = regraft("resume", "move")
    assert done.returncode == 1
    assert done.stderr.startswith("error: move is no run (outputs/runs/<date>/<time>) and no swee")
    assert done.stderr.endswith("did you mean 'moved'?\n")
