"""A sweep that is killed, gone on with, and stopped by a person, in real processes."""

import json
import os
import signal
import subprocess
import sys

import pytest
from runs import TINY, filled


@pytest.fixture
def start(tmp_path, with_killer):
    """Runs a command until it ends, however it does."""

    def run(*command):
        return subprocess.run(
            [sys.executable, *command],
            cwd=tmp_path,
            env=os.environ | with_killer,
            capture_output=True,
            text=True,
            timeout=300,
            start_new_session=True,
            # As from a terminal: in the background of a shell, Ctrl-C is ignored.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )

    return run


def content(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def results(sweep):
    return [json.loads(p.read_text()) for p in sorted(sweep.glob("*/result.json"))]


def test_a_sweep_that_was_killed_goes_on_until_ctrl_c_and_is_finished_at_last(
    start, repository, regraft, tmp_path
):
    """Three jobs of one, two and three epochs: the second is killed, and then interrupted."""
    blows = {}
    for name, step, number in (("first", 5, "SIGKILL"), ("second", 6, "SIGINT")):
        (tmp_path / name).mkdir()
        how = f"folder:'{tmp_path / name}',step:{step},name:{number},group:true"
        blows[name] = f"+callbacks.{name}={{_target_:killer.Killer,{how}}}"
    words = [*map(filled, TINY)]
    words += ["strategy=finetune", "trainer.max_epochs=1,2,3", *blows.values()]
    done = start(str(repository / "train.py"), "-m", *words, "hydra.sweep.dir=sweep")
    sweep = tmp_path / "sweep"
    assert done.returncode == -signal.SIGKILL
    assert [r["status"] for r in results(sweep)] == ["finished", "running"]

    before = content(sweep / "0")
    moved = sweep.rename(tmp_path / "moved")
    done = start("-m", "regraft.cli", "resume", "moved")
    assert done.returncode == 130, done.stderr
    assert "moved: 2 of 3 jobs to finish" in done.stdout
    _, stopped = results(moved)
    assert (stopped["status"], stopped["resumed"]) == ("interrupted", 1)
    assert stopped["error"] == "interrupted at step 6; go on with: regraft resume moved"
    assert stopped["error"] in done.stderr
    assert (moved / "sweep.md").exists()

    done = regraft("resume", "moved", REGRAFT_TRUST="killer")
    assert done.returncode == 0, done.stderr
    assert "moved: 2 of 3 jobs to finish" in done.stdout
    assert "3 jobs, 0 failed; swept: trainer.max_epochs" in done.stdout
    assert [(r["status"], r["resumed"]) for r in results(moved)] == [
        ("finished", 0),
        ("finished", 2),
        ("finished", 0),
    ]
    after = content(moved / "0")
    for path, text in before.items():
        path = moved / path.relative_to(sweep)
        assert path.suffix == ".png" or after[path] == text, path
