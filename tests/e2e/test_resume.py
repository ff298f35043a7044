"""`regraft resume` after a SIGKILL and a SIGINT, through the real command line."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from regraft.lock import held

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("resume")]
WORDS = ["data.per_class=5", "trainer.max_epochs=8", "strategy=finetune", "logger=none"]
TIMEOUT_S = 120


@pytest.fixture
def begun(tmp_path, repository):
    """A sweep of three jobs in a process of its own, once a file of it is there."""

    def begin(awaited, *words):
        command = [sys.executable, str(repository / "train.py"), "-m", "seed=0,1,2", *WORDS]
        with (tmp_path / "output").open("w") as output:
            process = subprocess.Popen(
                [*command, "hydra.sweep.dir=sweep", *words],
                cwd=tmp_path,
                stdout=output,
                stderr=output,
                start_new_session=True,
                # As from a terminal: in the background of a shell, Ctrl-C is ignored.
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
            )
        deadline = time.monotonic() + TIMEOUT_S
        while not (tmp_path / "sweep" / awaited).exists() and time.monotonic() < deadline:
            assert process.poll() is None, (tmp_path / "output").read_text()
            time.sleep(0.02)
        return process

    return begin


def resume(folder):
    command = [sys.executable, "-m", "regraft.cli", "resume", folder.name]
    return subprocess.run(
        command, cwd=folder.parent, capture_output=True, text=True, timeout=TIMEOUT_S
    )


def content(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def results(sweep):
    return [json.loads(p.read_text()) for p in sorted(sweep.glob("*/result.json"))]


def test_a_sweep_that_was_killed_is_finished_and_what_was_finished_is_left_alone(begun, tmp_path):
    process = begun("1/checkpoints/last.ckpt")
    sweep = tmp_path / "sweep"
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    with held(sweep):
        running = resume(sweep)
    assert running.returncode == 1
    assert running.stderr == "error: sweep is running: another process is at work there\n"

    before = content(sweep / "0")
    moved = Path(shutil.move(sweep, tmp_path / "moved"))
    done = resume(moved)
    assert done.returncode == 0, done.stderr
    assert "moved: 2 of 3 jobs to finish" in done.stdout
    assert "3 jobs, 0 failed; swept: nothing but the seed" in done.stdout
    assert [(r["status"], r["seed"], r["resumed"]) for r in results(moved)] == [
        ("finished", 0, 0),
        ("finished", 1, 1),
        ("finished", 2, 0),
    ]
    after = content(moved / "0")
    for path, text in before.items():
        path = moved / path.relative_to(sweep)
        assert path.suffix == ".png" or after[path] == text, path

    again = resume(moved)
    assert (again.returncode, again.stdout) == (
        0,
        "moved: all 3 jobs have finished: nothing to do\n",
    )
    wrong = resume(tmp_path / "move")
    assert wrong.returncode == 1
    assert wrong.stderr.startswith("error: move is no run (outputs/runs/<date>/<time>) and no swee")
    assert wrong.stderr.endswith("did you mean 'moved'?\n")


def test_ctrl_c_ends_a_sweep_after_the_step_and_with_its_table(begun, tmp_path):
    process = begun("0/checkpoints/last.ckpt")
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(TIMEOUT_S) == 130
    [result] = results(tmp_path / "sweep")
    assert result["status"] == "interrupted"
    assert result["error"].endswith("go on with: regraft resume sweep")
    assert result["error"] in (tmp_path / "output").read_text()
    assert (tmp_path / "sweep/sweep.md").exists()


def test_ctrl_c_ends_jobs_that_joblib_runs_one_at_a_time(begun, tmp_path):
    more = ["hydra/launcher=joblib", "hydra.launcher.n_jobs=1", "trainer.max_epochs=500"]
    process = begun("0/checkpoints/last.ckpt", *more)
    os.killpg(process.pid, signal.SIGINT)
    try:
        assert process.wait(30) == 130
    finally:
        process.kill()
    assert [r["status"] for r in results(tmp_path / "sweep")] == ["interrupted"]


def test_ctrl_c_ends_jobs_side_by_side_each_after_its_step(begun, tmp_path):
    more = ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "trainer.max_epochs=500"]
    process = begun("0/checkpoints/last.ckpt", *more)
    while not (tmp_path / "sweep/1/checkpoints/last.ckpt").exists():
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(TIMEOUT_S) == 130
    assert [r["status"] for r in results(tmp_path / "sweep")] == ["interrupted"] * 2
