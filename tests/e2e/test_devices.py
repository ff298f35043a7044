"""One job on several devices: two processes with a CPU each stand for two accelerators."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
import torch
import wandb_file

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("devices")]

TWO = ["trainer.accelerator=cpu", "trainer.devices=2", "trainer.strategy=ddp"]


def left_behind(temporary: Path) -> list[Path]:
    """What the other process has left; it may end a moment after the first."""
    deadline = time.monotonic() + 10
    while (found := [*temporary.glob("regraft-rank-*")]) and time.monotonic() < deadline:
        time.sleep(0.1)
    return found


@pytest.fixture(scope="module")
def watched(train_in, repository):
    """Train with a witness in each process: the run's folder, what was said, what was seen."""

    def train(folder, *words):
        witness = f"+callbacks.witness={{_target_:witness.Witness,folder:'{folder}'}}"
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("REGRAFT_TRUST", "witness")
            patch.setenv("PYTHONPATH", f"{repository / 'src'}:{repository / 'tests'}")
            (folder / "tmp").mkdir(parents=True)
            patch.setenv("TMPDIR", str(folder / "tmp"))
            done = train_in(folder, *TWO, *words, witness)
        assert done.returncode == 0, done.stderr
        assert left_behind(folder / "tmp") == []
        [run] = folder.glob("outputs/runs/*/*")
        ranks = [json.loads((folder / f"rank{number}.json").read_text()) for number in (0, 1)]
        return run, done, ranks

    return train


@pytest.fixture(scope="module")
def job(tmp_path_factory, watched):
    """Three of five stages kept; 30 images in batches of 8, the last of 6."""
    return watched(
        tmp_path_factory.mktemp("devices"),
        *["freeze=first", "freeze.stages=3", "head=linear", "optimizer.lr=3e-3"],
        *["data.per_class=3", "loader.batch_size=8", "trainer.max_epochs=2"],
    )


def test_one_process_records_and_the_other_is_silent(job):
    run, done, _ = job
    assert done.stderr == ""
    assert done.stdout.count("computed once: nothing (2 devices train together)") == 1
    assert done.stdout.count("accuracy") == 1
    assert {path.name for path in run.iterdir()} == {
        *(".hydra", ".lock", "checkpoints", "config.yaml", "confusion_matrix.png", "curves.png"),
        *(
            "metrics.csv",
            "mistakes.json",
            "plan.txt",
            "predictions.csv",
            "reliability.png",
            "result.json",
        ),
        *("train.log", "wandb"),
    }
    assert {path.name for path in (run / "checkpoints").iterdir()} == {"best.ckpt", "last.ckpt"}
    assert wandb_file.read(run)["exit_code"] == 0


def test_frozen_means_frozen_in_each_process_and_the_rest_stays_the_same_in_both(job):
    _, _, [first, second] = job
    kept = [n for n in first["before"] if not n.startswith(("layer3", "layer4"))]
    assert any("running_mean" in name for name in kept)
    for rank in (first, second):
        assert [n for n in kept if rank["before"][n] != rank["after"][n]] == []
        assert rank["before"]["layer4.0.conv1.weight"] != rank["after"]["layer4.0.conv1.weight"]
    # Statistics of batch norm are each device's own until the next step takes those of the first.
    own = ("running_mean", "running_var")
    assert {n: d for n, d in first["after"].items() if not n.endswith(own)} == {
        n: d for n, d in second["after"].items() if not n.endswith(own)
    }


def test_together_they_see_every_training_image_once_per_epoch(job):
    _, _, ranks = job
    for epoch in (0, 1):
        batches = [rank["seen"][epoch] for rank in ranks]
        assert [len(batch) for batch in batches[0]] == [4, 4, 4, 3]
        assert [len(batch) for batch in batches[1]] == [4, 4, 4, 3]
        seen = Counter(image for share in batches for batch in share for image in batch)
        assert len(seen) == 30
        assert set(seen.values()) == {1}


def test_every_image_is_judged_once_and_as_it_was_validated(job):
    run, _, _ = job
    found = json.loads((run / "result.json").read_text())
    assert found["cost"]["devices"] == 2
    with (run / "predictions.csv").open(newline="") as file:
        rows = [(row["split"], row["name"]) for row in csv.DictReader(file)]
    assert Counter(split for split, _ in rows) == {"val": 179, "test": 359}
    assert len(set(rows)) == len(rows)
    with (run / "metrics.csv").open(newline="") as file:
        history = list(csv.DictReader(file))
    assert [row["step"] for row in history] == ["4", "8"]
    best = max(float(row["val/acc"]) for row in history)
    assert found["metrics"]["val/acc"] == pytest.approx(best, abs=1e-6)


def test_stages_that_begin_later_are_the_same_in_both_processes(watched, tmp_path):
    _, _, [first, second] = watched(
        tmp_path,
        *["trainer.strategy=ddp_find_unused_parameters_true", "strategy=gradual", "logger=none"],
        *["data.per_class=3", "loader.batch_size=10", "trainer.max_epochs=3"],
    )
    assert first["after"] == second["after"]  # so few images leave the statistics alone
    name = "conv1.0.weight"  # of the stem, the last to begin
    assert first["before"][name] != first["after"][name]


def test_a_killed_job_goes_on_in_all_its_processes(tmp_path):
    """As one that was never stopped: the processes read the first one's checkpoint."""
    words = [
        *TWO,
        *("freeze=first", "freeze.stages=3", "head=linear", "data.per_class=3", "logger=none"),
        *("loader.batch_size=8", "trainer.max_epochs=3"),
    ]

    def start(folder):
        # The installed command, of which Lightning starts the other processes as well.
        command = [sys.executable, "-m", "regraft.cli", "train", *words, f"hydra.run.dir={folder}"]
        return subprocess.Popen(command, cwd=tmp_path, start_new_session=True)

    assert start("whole").wait(120) == 0
    killed = start("killed")
    last = tmp_path / "killed/checkpoints/last.ckpt"
    while not last.exists() and killed.poll() is None:
        time.sleep(0.02)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait()
    done = torch.load(last, weights_only=True)["epoch"]
    # By its name, and the other processes by that of the module that Lightning finds in it.
    go_on = [sys.executable, "-m", "regraft.cli", "resume", "killed"]
    assert subprocess.run(go_on, cwd=tmp_path, timeout=120).returncode == 0

    assert done < 2  # or nothing was left to do
    whole, resumed = (
        torch.load(tmp_path / name / "checkpoints/last.ckpt", weights_only=True)
        for name in ("whole", "killed")
    )
    for name, tensor in whole["state_dict"].items():
        assert torch.equal(tensor, resumed["state_dict"][name]), name
    accuracies = [
        json.loads((tmp_path / name / "result.json").read_text())["metrics"]
        for name in ("whole", "killed")
    ]
    assert accuracies[0] == accuracies[1]
