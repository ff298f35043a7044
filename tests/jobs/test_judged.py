"""Runs without a test, which val judges, and without a val: the whole job, table and page."""

import re
import shutil

import pytest
from runs import TINY
from stripes import stripes

HALF = [word.replace("{stripes}", "{stripes}/train") for word in TINY]  # names no splits
WAYS = [("features=on", "strategy=feature_extraction"), ("features=off", "strategy=finetune")]


@pytest.mark.parametrize("words", WAYS)
def test_without_a_test_val_judges_and_the_headline_says_so(finished_run, words):
    run = finished_run(*HALF, *words, "data.test_fraction=0")
    assert run.returncode == 0, run.stderr
    data, metrics = run.result["data"], run.result["metrics"]
    assert (data["val"], data["test"]) == (4, 0)
    assert data["splits"].endswith("no test, so val judges, which also chooses the epoch")
    assert {key.partition("/")[0] for key in metrics} == {"val"}
    said = " ".join(run.stdout.split())
    assert f"accuracy {metrics['val/acc']:.3f} validation (" in said
    assert "on 4 images, which chose the epoch, too)" in said
    assert {row["split"] for row in run.rows("predictions.csv")} == {"val"}
    for name in ("confusion_matrix.png", "reliability.png", "curves.png"):
        assert (run.folder / name).is_file()


@pytest.mark.parametrize("words", WAYS)
def test_without_a_val_the_last_epoch_is_judged_on_test(finished_run, words):
    run = finished_run(*HALF, *words, "data.val_fraction=0")
    assert run.returncode == 0, run.stderr
    assert (run.result["data"]["val"], run.result["data"]["test"]) == (0, 4)
    metrics = run.result["metrics"]
    assert {key.partition("/")[0] for key in metrics} == {"test"}
    assert run.result["calibration"]["temperature"] == 1
    assert (run.folder / "checkpoints" / "best.ckpt").is_file()
    said = " ".join(run.stdout.split())
    assert f"accuracy {metrics['test/acc']:.3f} test (" in said
    assert "on 4 images) (macro F1" in said
    assert "could not find the monitored key" not in run.stdout + run.stderr


def test_a_folder_with_a_val_of_its_own_and_no_test_trains_on_all_of_train(train, tmp_path):
    for split in ("train", "val"):
        shutil.copytree(stripes() / split, tmp_path / "own" / split)
    words = [word.replace("{stripes}", f"{tmp_path}/own") for word in TINY]
    done = train(*words, "hydra.run.dir=run")
    assert done.returncode == 0, done.stderr
    assert "24 train, 8 val, 0 test images" in done.stdout
    assert "no test, so val judges" in done.stdout


def test_the_table_and_the_page_of_a_sweep_say_which_images_judged(finished_run, regraft, tmp_path):
    sweep = finished_run(
        "-m", *HALF, "strategy=feature_extraction,finetune", "data.test_fraction=0"
    ).copy(tmp_path / "sweep")
    text = (sweep / "sweep.md").read_text()
    assert "validation acc" in text
    assert "one seed: interval over validation images only" in text
    done = regraft("report", str(sweep), "--html")
    assert done.returncode == 0, done.stderr
    page = (sweep / "report.html").read_text()
    assert "validation acc</th>" in page
    assert "</strong> validation accuracy" in page
    assert "Confusion matrix of the validation images" in page
    heads = re.findall(r'data-key="([^"]*)"', page)
    wanted = ["val/acc", "interval", "macro_f1", "loss", "ece", "ece_uncalibrated"]
    assert heads[heads.index("val/acc") :][: len(wanted)] == wanted


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("strategy=collect",), "strategy=collect measures its curve on validation images"),
        (("strategy=auto",), "the advice is measured on validation images"),
        (("callbacks=early_stopping",), "watches the validation, and there are no validation"),
        (("data.test_fraction=0",), "leave no image to judge by; keep one"),
    ],
)
def test_what_needs_a_val_refuses_to_go_without(train, words, message):
    filled = [word.replace("{stripes}", f"{stripes()}") for word in HALF]
    done = train(*filled, *words, "data.val_fraction=0", "hydra.run.dir=run")
    assert done.returncode == 1
    assert message in done.stderr


def test_a_search_refuses_to_go_without_a_val(train):
    pytest.importorskip("hydra_plugins.hydra_optuna_sweeper")
    filled = [word.replace("{stripes}", f"{stripes()}") for word in HALF]
    space = ["hydra/sweeper=optuna", "sweep=search", "hydra.sweeper.n_trials=1"]
    done = train("-m", *space, *filled, "data.val_fraction=0", "hydra.sweep.dir=sweep")
    assert done.returncode == 1
    assert "optuna chooses by the validation images, and there are none; set" in done.stderr
    assert "Traceback" not in done.stderr
