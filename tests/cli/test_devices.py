"""One job on several devices: two processes with a CPU each stand for two accelerators."""

import csv
import json
from collections import Counter

import pytest
import wandb_file
from devices_together import trained_together


@pytest.fixture
def job():
    """Three of five stages kept; 30 images in batches of 8, the last of 6."""
    return trained_together(
        *["freeze=first", "freeze.stages=3", "head=linear", "optimizer.lr=3e-3"],
        *["data.per_class=3", "loader.batch_size=8", "trainer.max_epochs=2"],
    )


def test_one_process_records_and_the_other_is_silent(job):
    assert job.stderr == ""
    assert job.left == []
    assert job.stdout.count("computed once: nothing (2 devices train together)") == 1
    assert job.stdout.count("accuracy") == 1
    run = job.folder
    assert {path.name for path in run.iterdir()} == {
        *(".hydra", ".lock", "checkpoints", "config.yaml", "confusion_matrix.png", "curves.png"),
        *(
            "metrics.csv",
            "mistakes.json",
            "plan.txt",
            "logits.safetensors",
            "predictions.csv",
            "reliability.png",
            "result.json",
        ),
        *("train.log", "wandb"),
    }
    assert {path.name for path in (run / "checkpoints").iterdir()} == {"best.ckpt", "last.ckpt"}
    assert wandb_file.read(run)["exit_code"] == 0


def test_frozen_means_frozen_in_each_process_and_the_rest_stays_the_same_in_both(job):
    first, second = job.ranks
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
    for epoch in (0, 1):
        batches = [rank["seen"][epoch] for rank in job.ranks]
        assert [len(batch) for batch in batches[0]] == [4, 4, 4, 3]
        assert [len(batch) for batch in batches[1]] == [4, 4, 4, 3]
        seen = Counter(image for share in batches for batch in share for image in batch)
        assert len(seen) == 30
        assert set(seen.values()) == {1}


def test_every_image_is_judged_once_and_as_it_was_validated(job):
    run = job.folder
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
