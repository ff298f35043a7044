"""Sweeps that end before a network is built; those that train are in jobs/test_sweep.py."""

import json
from collections import Counter
from pathlib import Path

import report_folders
from hydra.types import RunMode
from omegaconf import OmegaConf

from regraft import report
from regraft.lock import held
from regraft.paths import SWEEP
from regraft.sweep import SweepProgress, end


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


def test_each_result_is_read_once_while_a_sweep_runs_and_once_at_its_end(tmp_path, monkeypatch):
    """Of a hundred jobs each read those of all before it, and the report read each four times."""
    read = Counter()

    def counting(path, *args, _read=Path.read_text, **kwargs):
        read[path.parent.name] += path.name == "result.json"
        return _read(path, *args, **kwargs)

    monkeypatch.setattr(Path, "read_text", counting)
    monkeypatch.setattr(report, "draw_pareto", lambda _: [])
    (tmp_path / SWEEP).write_text(json.dumps({"jobs": 6}))
    for number in range(6):
        folder = report_folders.job(tmp_path / str(number), seed=number)
        (folder / "predictions.csv").unlink()
        progress = SweepProgress()  # launchers' processes have one of their own
        for _ in range(2):
            progress.on_job_start(config(tmp_path, number + 1))
    assert +read == Counter(map(str, range(6)))
    read.clear()
    assert end(tmp_path) == 0
    assert +read == Counter(map(str, range(6)))


def test_a_job_that_has_not_ended_is_asked_again(tmp_path, capsys):
    (tmp_path / SWEEP).write_text(json.dumps({"jobs": 3}))
    folder = report_folders.job(tmp_path / "0", status="running")
    SweepProgress().on_job_start(config(tmp_path, 1))
    assert "left" not in capsys.readouterr().out
    result = json.loads((folder / "result.json").read_text()) | {"status": "finished"}
    (folder / "result.json").write_text(json.dumps(result))
    SweepProgress().on_job_start(config(tmp_path, 1))
    assert "s left" in capsys.readouterr().out


def config(folder, number):
    """What Hydra tells of the job of a sweep that is about to start."""
    hydra = {
        "mode": RunMode.MULTIRUN,
        "runtime": {"cwd": str(folder)},
        "sweep": {"dir": str(folder)},
        "job": {"num": number},
        "overrides": {"task": [f"seed={number}"]},
    }
    return OmegaConf.create({"hydra": hydra})
