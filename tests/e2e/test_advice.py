"""strategy=auto and sweep=verify through the real command line, killed on the way too."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("advice")]
TIMEOUT_S = 120


def results(folder):
    return [json.loads(path.read_text()) for path in sorted(folder.glob("*/result.json"))]


def test_a_killed_run_goes_on_with_what_was_decided(tmp_path, repository):
    """An advised job, and another one, both killed when the training has begun."""
    words = ["sweep=verify", "strategy=auto,scratch", "seed=0", "min_steps=0", "data.per_class=5"]
    words += ["logger=none", "trainer.max_epochs=30"]
    command = [sys.executable, str(repository / "train.py"), "-m", *words]
    command += ["hydra.sweep.dir=sweep"]
    for number in (0, 1):
        process = subprocess.Popen(
            command, cwd=tmp_path, stdout=subprocess.DEVNULL, start_new_session=True
        )
        wait_for(tmp_path / "sweep" / str(number) / "checkpoints" / "last.ckpt", process)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        command = [sys.executable, "-m", "regraft.cli", "resume", "sweep"]
        killed = json.loads((tmp_path / "sweep" / str(number) / "result.json").read_text())
        assert killed["status"] == "running"
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=TIMEOUT_S)
    assert done.returncode == 0, done.stderr
    found = results(tmp_path / "sweep")
    assert [(r["status"], r["choices"]["strategy"]) for r in found] == [
        ("finished", "auto"),
        ("finished", "scratch"),
    ]
    assert all(result["resumed"] >= 1 for result in found)
    assert found[0]["advice"]["placement"]["quadrant"] == "small_dissimilar"
    assert set(found[0]["advice"]["floors"]) > {"majority", "linear probe"}
    assert "The advice, finetune" in done.stdout
    assert [result["strategy"]["name"] for result in found] == ["finetune", "scratch"]
    accs = [result["metrics"]["test/acc"] for result in found]
    regret = found[0]["advice"]["regret"]["points"]
    assert regret == pytest.approx(100 * (max(accs) - accs[0]), abs=1e-3)
    assert found[1]["advice"] is None
    said = (tmp_path / "sweep" / "sweep.md").read_text()
    assert "The advice, finetune optimizer.backbone_ratio=1" in said


def wait_for(path, process):
    deadline = time.monotonic() + TIMEOUT_S
    while not path.exists() and time.monotonic() < deadline:
        assert process.poll() is None
        time.sleep(0.02)
