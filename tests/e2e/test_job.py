"""One job through the real command line, and what it leaves behind."""

import csv
import json
import subprocess
import sys
from collections import Counter

import pytest
import timm
import torch
import wandb_file
from PIL import Image

import regraft.embedded  # noqa: F401, registers fractal_resnet with timm

MEDIA = {"plan", "confusion_matrix_table", "test/confident_mistakes"}
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("job")]


@pytest.fixture(scope="module")
def finished(tmp_path_factory, train_in):
    folder = tmp_path_factory.mktemp("job")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REGRAFT_CACHE", str(folder / "cache"))
        done = train_in(folder, "data.per_class=20", "trainer.max_epochs=4", "tags=[mine]")
    assert done.returncode == 0, done.stderr
    [run] = folder.glob("outputs/runs/*/*")
    return run, done


def result(run):
    return json.loads((run / "result.json").read_text())


def rows(run, name):
    with (run / name).open(newline="") as file:
        return list(csv.DictReader(file))


def test_everything_that_is_promised_is_there(finished):
    run, _ = finished
    names = (
        ".hydra config.yaml plan.txt result.json metrics.csv checkpoints/best.ckpt "
        "checkpoints/last.ckpt predictions.csv confusion_matrix.png curves.png "
        "reliability.png wandb train.log"
    )
    for name in names.split():
        assert (run / name).exists(), name
    for name in ("confusion_matrix.png", "curves.png", "reliability.png"):
        with Image.open(run / name) as picture:
            assert min(picture.size) > 200


def test_the_result_says_what_was_chosen_measured_and_paid(finished):
    run, _ = finished
    found = result(run)
    metrics, cost = found["metrics"], found["cost"]

    assert (found["status"], found["error"], found["seed"]) == ("finished", None, 0)
    assert found["choices"]["backbone"] == "fractal_resnet"
    assert found["choices"]["strategy"] == "feature_extraction"
    assert set(found["overrides"]) == {"data.per_class=20", "trainer.max_epochs=4", "tags=[mine]"}
    sizes = {"train": 200, "val": 179, "test": 359}
    assert found["data"].pop("listing").keys() == sizes.keys()
    assert found["data"] == {"name": "digits", "classes": 10, **sizes, "skipped": 0}
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
    run, _ = finished
    table = rows(run, "predictions.csv")
    assert Counter(row["split"] for row in table) == {"val": 179, "test": 359}
    for split in ("val", "test"):
        part = [row for row in table if row["split"] == split]
        acc = sum(row["true"] == row["predicted"] for row in part) / len(part)
        assert acc == pytest.approx(result(run)["metrics"][f"{split}/acc"], abs=1e-6)
        shares = [sum(float(row[f"p_{c}"]) for c in range(10)) for row in part]
        assert all(total == pytest.approx(1, abs=1e-4) for total in shares)
    assert len({row["name"] for row in table}) == len(table)


def test_the_history_has_a_row_for_each_epoch_and_its_best_was_kept(finished):
    run, _ = finished
    table = rows(run, "metrics.csv")
    assert [int(row["epoch"]) for row in table] == [0, 1, 2, 3]
    best = max(float(row["val/acc"]) for row in table)
    assert best == pytest.approx(result(run)["metrics"]["val/acc"], abs=1e-5)


def test_the_checkpoint_is_plain_data_with_the_class_names(finished):
    run, _ = finished
    stored = torch.load(run / "checkpoints/best.ckpt", weights_only=True)
    assert stored["regraft"]["classes"] == [str(c) for c in range(10)]
    assert stored["regraft"]["config"]["data"]["per_class"] == 20
    trunk = {n for n in stored["state_dict"] if n.startswith("backbone.net.")}
    assert len(trunk) == len(timm.create_model("fractal_resnet", num_classes=0).state_dict())
    last = torch.load(run / "checkpoints/last.ckpt", weights_only=True)
    assert not trunk & last["state_dict"].keys()


def test_weights_and_biases_has_it_all(finished):
    run, _ = finished
    found = wandb_file.read(run)
    config, summary = found["config"], found["summary"]

    assert found["exit_code"] == 0
    assert found["run"].project == "regraft"
    assert found["run"].job_type == "train"
    assert found["run"].display_name == "feature_extraction-fractal_resnet-digits-s0"
    assert set(found["run"].tags) == {"feature_extraction", "fractal_resnet", "digits", "mine"}
    assert found["run"].run_group == ""
    assert found["run"].run_id == result(run)["wandb"]["id"]
    assert found["axes"]["*"] == "trainer/global_step"  # train/loss has an axis too
    assert config["optimizer"]["lr"] > 0  # nested, not a string
    assert config["choices"]["strategy"] == "feature_extraction"
    assert "data.per_class=20" in config["overrides"]
    assert torch.__version__.startswith(config["versions"]["torch"])
    assert config["plan"][0]["action"] == "keep"
    assert config["weights"]["sha256"] == result(run)["weights"]["sha256"]
    ours = {name: value for name, value in config.items() if not name.startswith("_wandb")}
    assert "${" not in json.dumps(ours)
    measured = [row["val/acc"] for row in found["history"] if "val/acc" in row]
    assert len(measured) == 4
    assert any("lr-" in key for row in found["history"] for key in row)
    assert summary["cost/wall_s"] == result(run)["cost"]["wall_s"]
    assert summary["test/acc"] == pytest.approx(result(run)["metrics"]["test/acc"])
    types = {f"{key}/_type": key for key in MEDIA}
    last = found["history"][-1]
    media = {types[key]: last[key] for key in types.keys() & last.keys()}
    assert media == {
        "plan": "table-file",
        "confusion_matrix_table": "table-file",
        "test/confident_mistakes": "table-file",
    }


def test_the_terminal_shows_the_plan_before_and_the_summary_after(finished):
    run, done = finished
    shown = done.stdout
    for text in ("stage4", "keep", "accuracy", "cost", str(run.name), "make sync"):
        assert text in shown, text
    assert "Traceback" not in done.stderr
    assert "stage4" in (run / "plan.txt").read_text()


def test_the_same_command_gives_the_same_result(finished, tmp_path, train_in):
    run, _ = finished
    train_in(tmp_path, "data.per_class=20", "trainer.max_epochs=4", "logger=none")
    [again] = tmp_path.glob("outputs/runs/*/*")
    assert result(again)["metrics"] == result(run)["metrics"]
    assert not (again / "wandb").exists()


@pytest.mark.parametrize(
    "words",
    [
        ("strategy=finetune",),
        ("strategy=partial",),
        ("strategy=scratch", "optimizer=sgd", "scheduler=onecycle"),
        ("strategy=lp_ft", "callbacks=ema"),
        ("strategy=gradual", "trainer=mixed", "scheduler=constant"),
        ("strategy=feature_extraction", "head=conv_mlp", "freeze=first", "freeze.above=drop"),
        ("strategy=finetune", "callbacks=early_stopping", "trainer.accumulate_grad_batches=2"),
        ("strategy=finetune", "freeze=custom", "freeze.actions=[keep,keep,tune,reset,drop]"),
    ],
)
def test_other_strategies_and_options_run_too(words, tmp_path, train_in):
    done = train_in(tmp_path, *words, "data.per_class=5", "trainer.max_epochs=3", "logger=none")
    assert done.returncode == 0, done.stderr
    [run] = tmp_path.glob("outputs/runs/*/*")
    assert result(run)["status"] == "finished"
    assert "Warning" not in done.stderr


def test_collect_answers_with_a_forecast(tmp_path, train_in):
    done = train_in(tmp_path, "strategy=collect", "data.per_class=8", "trainer.max_epochs=3")
    assert done.returncode == 0, done.stderr
    [run] = tmp_path.glob("outputs/runs/*/*")
    forecast = json.loads((run / "forecast.json").read_text())

    assert forecast["target_acc"] == 0.95
    assert len(forecast["points"]) >= 15
    assert forecast["words"] in " ".join(done.stdout.split())
    assert result(run)["forecast"]["words"] == forecast["words"]
    assert (run / "learning_curve.png").stat().st_size > 10_000


def test_two_jobs_that_race_send_each_image_through_once(tmp_path, repository, monkeypatch):
    monkeypatch.setenv("REGRAFT_CACHE", str(tmp_path / "cache"))
    command = [sys.executable, str(repository / "train.py"), "data.per_class=20", "logger=none"]
    runs = [
        subprocess.Popen([*command, f"hydra.run.dir={tmp_path / name}"], stdout=subprocess.DEVNULL)
        for name in "ab"
    ]
    assert [run.wait(timeout=300) for run in runs] == [0, 0]
    costs = [result(tmp_path / name)["cost"] for name in "ab"]
    assert sum(cost["images_forwarded"] for cost in costs) == 200 + 179 + 359
    assert result(tmp_path / "a")["metrics"] == result(tmp_path / "b")["metrics"]
