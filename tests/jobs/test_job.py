"""One finished job, and what it leaves behind; then every strategy once, with other options."""

import json
import shutil
from collections import Counter

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from runs import TINY, filled, stripes

import regraft.embedded  # noqa: F401, registers fractal_resnet with timm
from regraft import calibration, logits, predictions

# tests/cli/test_job.py types the same words, and compares.
DIGITS = ("data.per_class=20", "trainer.max_epochs=4", "tags=[mine]")


@pytest.fixture
def finished(finished_run):
    done = finished_run(*DIGITS)
    assert done.returncode == 0, done.stderr
    return done


def test_everything_that_is_promised_is_there(finished):
    names = (
        ".hydra config.yaml plan.txt result.json metrics.csv checkpoints/best.ckpt "
        "checkpoints/last.ckpt predictions.csv logits.safetensors confusion_matrix.png curves.png "
        "reliability.png wandb train.log"
    )
    for name in names.split():
        assert (finished.folder / name).exists(), name
    for name in ("confusion_matrix.png", "curves.png", "reliability.png"):
        with Image.open(finished.folder / name) as picture:
            assert min(picture.size) > 200


def test_the_result_says_what_was_chosen_measured_and_paid(finished):
    found = dict(finished.result)
    metrics, cost = found["metrics"], found["cost"]

    assert (found["status"], found["error"], found["seed"]) == ("finished", None, 0)
    assert found["choices"]["backbone"] == "fractal_resnet"
    assert found["choices"]["strategy"] == "feature_extraction"
    assert set(found["overrides"]) >= set(DIGITS)
    sizes = {"train": 200, "val": 179, "test": 359}
    assert found["data"]["listing"].keys() == sizes.keys()
    assert {k: v for k, v in found["data"].items() if k != "listing"} == {
        "name": "digits",
        "classes": 10,
        **sizes,
        "skipped": 0,
    }
    assert set(metrics) >= {"val/acc", "val/loss", "test/acc", "test/loss", "test/macro_f1"}
    assert metrics["test/acc"] > 0.3
    assert cost["images_forwarded"] == 200 + 179 + 359  # once each, whatever the epochs
    assert cost["cache"] == "miss"
    assert 0 < cost["params_trained"] < cost["params_total"]
    assert 0 < cost["fit_s"] <= cost["wall_s"]
    assert [row["action"] for row in found["plan"]] == ["keep"] * 5
    assert len(found["weights"]["sha256"]) == 64
    assert found["checkpoint"] == "checkpoints/best.ckpt"


def test_the_metrics_follow_from_the_predictions(finished):
    table = finished.rows("predictions.csv")
    assert Counter(row["split"] for row in table) == {"val": 179, "test": 359}
    for split in ("val", "test"):
        part = [row for row in table if row["split"] == split]
        acc = sum(row["true"] == row["predicted"] for row in part) / len(part)
        assert acc == pytest.approx(finished.result["metrics"][f"{split}/acc"], abs=1e-6)
        shares = [sum(float(row[f"p_{c}"]) for c in range(10)) for row in part]
        assert all(total == pytest.approx(1, abs=1e-4) for total in shares)
    assert len({row["name"] for row in table}) == len(table)


def test_the_loss_is_that_of_the_epoch_that_was_judged(finished):
    losses = {int(row["epoch"]): float(row["val/loss"]) for row in finished.rows("metrics.csv")}
    best = losses[finished.result["best_epoch"]]
    assert finished.result["metrics"]["val/loss"] == pytest.approx(best, abs=1e-4)


def test_calibration_error_and_picture_are_those_of_the_probabilities_that_are_kept(finished):
    test = predictions.read(finished.folder / predictions.NAME)[1]["test"]
    diagram = calibration.bins(test.probabilities.max(1), test.true == test.predicted)
    assert finished.result["metrics"]["test/ece"] == pytest.approx(
        calibration.error(diagram), abs=1e-4
    )
    kept = finished.result["calibration"]
    assert [images for images, *_ in kept["after"]] == [images for images, *_ in diagram]
    assert kept["images"] == 179
    given = logits.read(finished.folder / logits.NAME)
    shares = calibration.Calibration(kept["temperature"]).apply(given.splits["test"][0])
    assert np.abs(shares - test.probabilities).max() < 1e-6


def test_checkpoint_logits_and_result_name_the_same_run(finished):
    stored = torch.load(finished.folder / "checkpoints/best.ckpt", weights_only=True)["regraft"]
    named = {stored["run"], logits.read(finished.folder / logits.NAME).run, finished.result["id"]}
    assert len(named) == 1 and None not in named


def test_the_history_has_a_row_for_each_epoch_and_its_best_was_kept(finished):
    table = finished.rows("metrics.csv")
    assert [int(row["epoch"]) for row in table] == [0, 1, 2, 3]
    best = max(float(row["val/acc"]) for row in table)
    assert best == pytest.approx(finished.result["metrics"]["val/acc"], abs=1e-5)


def test_the_checkpoint_is_plain_data_with_the_class_names(finished):
    stored = torch.load(finished.folder / "checkpoints/best.ckpt", weights_only=True)
    assert stored["regraft"]["classes"] == [str(c) for c in range(10)]
    assert stored["regraft"]["config"]["data"]["per_class"] == 20
    trunk = {n for n in stored["state_dict"] if n.startswith("backbone.net.")}
    assert len(trunk) == len(timm.create_model("fractal_resnet", num_classes=0).state_dict())
    last = torch.load(finished.folder / "checkpoints/last.ckpt", weights_only=True)
    assert not trunk & last["state_dict"].keys()


@pytest.mark.parametrize(
    "words",
    [
        ("strategy=finetune",),
        ("strategy=partial",),
        ("strategy=scratch", "optimizer=sgd", "scheduler=onecycle"),
        ("strategy=lp_ft", "callbacks=ema", "scheduler=plateau"),
        ("strategy=gradual", "trainer=mixed", "scheduler=constant"),
        ("strategy=feature_extraction", "head=conv_mlp", "freeze=first", "freeze.above=drop"),
        ("strategy=finetune", "callbacks=early_stopping", "trainer.accumulate_grad_batches=2"),
        ("strategy=finetune", "freeze=custom", "freeze.actions=[keep,keep,tune,reset,drop]"),
    ],
)
def test_other_strategies_and_options_run_too(words, finished_run):
    done = finished_run(*TINY, *words)
    assert done.returncode == 0, done.stderr
    assert done.result["status"] == "finished"
    assert "Warning" not in done.stderr


def test_without_a_logger_nothing_is_kept_for_weights_and_biases(finished_run):
    run = finished_run(*TINY)
    assert run.result["status"] == "finished"
    assert not (run.folder / "wandb").exists()


def test_the_curve_of_collect_is_scored_on_validation_images(tmp_path, train, monkeypatch):
    """Of which there are seven, and eight of test: so its accuracies are sevenths."""
    monkeypatch.setattr("regraft.collect.MIN_STEPS", 5)
    images = shutil.copytree(stripes(), tmp_path / "images")
    (images / "val" / "down" / "00.png").unlink()
    words = [word.replace("{stripes}", str(images)) for word in TINY]
    done = train(*words, "strategy=collect", "strategy.sizes=3", "hydra.run.dir=run")
    assert done.returncode == 0, done.stderr
    forecast = json.loads((tmp_path / "run" / "forecast.json").read_text())
    sevenths = {round(7 * point["acc"], 4) for point in forecast["points"]}
    assert sevenths <= {*range(8)}
    assert not sevenths <= {0, 7}


def test_collect_answers_with_a_forecast(finished_run):
    done = finished_run(*TINY, "strategy=collect", "strategy.sizes=3")
    assert done.returncode == 0, done.stderr
    forecast = json.loads((done.folder / "forecast.json").read_text())

    assert forecast["target_acc"] == 0.95
    assert len(forecast["points"]) == 3 * 3  # by replicates
    assert forecast["words"] in " ".join(done.stdout.split())
    assert done.result["forecast"]["words"] == forecast["words"]
    assert (done.folder / "learning_curve.png").stat().st_size > 10_000


def test_the_next_job_on_the_same_images_sends_none_through(tmp_path, train):
    """Of two that race, too: tests/unit/test_store.py, and processes in tests/nightly."""
    words = [*map(filled, TINY)]
    costs = []
    for name in "ab":
        done = train(*words, f"hydra.run.dir={name}", REGRAFT_CACHE=str(tmp_path / "cache"))
        assert done.returncode == 0, done.stderr
        costs.append(json.loads((tmp_path / name / "result.json").read_text())["cost"])
    assert [cost["images_forwarded"] for cost in costs] == [24 + 8 + 8, 0]
