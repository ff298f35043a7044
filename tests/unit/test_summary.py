import io

import pytest
from omegaconf import OmegaConf
from rich.console import Console

from regraft.data.transforms import InputConfig
from regraft.summary import headline, show_plan, show_result
from regraft.tracking import Job, Record

INPUT = InputConfig((48, 64), (0.5, 0.4, 0.3), (0.2, 0.2, 0.2), "bicubic", 0.875)
STAGE = {
    "stage": "stem",
    "modules": "conv1",
    "params": 10,
    "action": "keep",
    "lr_ratio": None,
    "starts": None,
}
RESULT = {
    "backbone": "resnet18.a1_in1k",
    "choices": {"strategy": "finetune", "backbone": "resnet18"},
    "data": {"name": "digits", "classes": 10, "train": 50, "val": 20, "test": 30},
    "metrics": {
        "test/acc": 0.9,
        "val/acc": 0.8,
        "test/macro_f1": 0.7,
        "test/ece": 0.05,
        "test/ece_uncalibrated": 0.1,
    },
    "cost": {
        "wall_s": 4.0,
        "fit_s": 3.0,
        "images_forwarded": 100,
        "params_trained": 1,
        "params_total": 10,
        "cache": "off",
    },
    "strategy": {"name": "finetune"},
    "forecast": None,
    "scores": None,
    "calibration": {"temperature": 1.25, "threshold": None, "images": 1234},
}


@pytest.fixture
def console():
    return Console(file=io.StringIO(), width=120)


def record(folder, *, sweep=None, **more):
    folder.mkdir(exist_ok=True)
    return Record(Job(folder, {}, (), sweep), OmegaConf.create(), RESULT | more)


@pytest.mark.parametrize(
    ("cached", "reason", "said"),
    [
        (True, "first 1 of 1 stages: 2 kB", "computed once: first 1 of 1 stages: 2 kB"),
        (False, "features=off", "computed once: nothing (features=off)"),
    ],
)
def test_the_plan_says_what_is_computed_once(cached, reason, said, tmp_path, console):
    show_plan(console, record(tmp_path, features=reason, plan=[STAGE | {"cached": cached}]), INPUT)
    assert console.file.getvalue().splitlines()[-1] == said
    *_, input, last = (tmp_path / "plan.txt").read_text().splitlines()
    assert last == said
    assert input == ("input: 64×48 px, bicubic, centre crop 0.875, mean 0.5, 0.4, 0.3, std 0.2")


@pytest.mark.parametrize(("sweep", "first"), [("2026 10", "job       7"), (None, "accuracy")])
def test_in_a_sweep_a_result_begins_with_its_job(sweep, first, tmp_path, console):
    show_result(console, record(tmp_path / "7", sweep=sweep))
    text = console.file.getvalue()
    assert text.startswith(first)
    assert "4.0 s without the program's start, of which training 3.0 s" in text


def test_the_folder_of_a_run_is_said_whole_however_long_it_is(tmp_path, console):
    folder = tmp_path / ("x" * 120)
    show_result(console, record(folder))
    assert str(folder) in "".join(console.file.getvalue().split())


def test_the_calibration_is_told_and_the_threshold_if_there_is_one(tmp_path, console):
    show_result(console, record(tmp_path / "7"))
    said = "calibration error 0.050, 0.100 without the temperature 1.25 of 1,234 validation images"
    assert said in " ".join(console.file.getvalue().split())
    assert "threshold" not in console.file.getvalue()
    test = {"images": 9, "coverage": 0.9, "precision": 0.99}
    found = {"temperature": 1.25, "threshold": 0.6, "precision": 0.98, "images": 9, "test": test}
    show_result(console, record(tmp_path / "8", calibration=found))
    said = "0.600 for a precision of 0.98: above are 90.0% of the test images, of which 99.0% are"
    assert said in console.file.getvalue()


def test_the_plan_says_what_serves_as_which_split(console, tmp_path):
    data = RESULT["data"] | {"splits": "train is 'Training', test is 'Testing'"}
    made = record(tmp_path / "run", plan=[STAGE | {"cached": False}], features="off", data=data)
    show_plan(console, made, INPUT)
    assert "splits: train is 'Training', test is 'Testing'" in console.file.getvalue()


def test_the_headline_carries_its_interval_and_the_number_of_images():
    assert headline(RESULT).startswith("0.900 test (0.744 to 0.965 on 30 images), 0.800 val (macro")
    metrics = {key.replace("test", "val"): v for key, v in RESULT["metrics"].items()}
    of_val = RESULT | {"data": RESULT["data"] | {"test": 0}, "metrics": metrics | {"val/acc": 0.8}}
    assert headline(of_val).startswith(
        "0.800 validation (0.584 to 0.919 on 20 images, which chose the epoch, too) (macro F1"
    )
    without = {k: v for k, v in RESULT["metrics"].items() if k != "val/acc"}
    calibration = {"temperature": 1.0, "images": 0, "threshold": None}
    unfitted = headline(RESULT | {"metrics": without, "calibration": calibration})
    assert unfitted.startswith("0.900 test (0.744 to 0.965 on 30 images) (macro F1 0.700, ")
    assert unfitted.endswith("without the temperature 1, as there are no validation images)")
