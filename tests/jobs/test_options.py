"""Every shipped option trains: what `regraft validate` calls right is no error of a training."""

import options
import pytest
from runs import TINY


@pytest.mark.parametrize("column", options.columns(), ids=" ".join)
def test_options_of_each_group_train_two_steps(finished_run, column):
    run = finished_run(*options.TWO_STEPS, "strategy=finetune", *column)
    assert run.returncode == 0, run.stderr
    assert run.result["status"] == "finished"
    assert len(run.witness["losses"]) == 2


def test_a_logger_of_lightnings_writes_into_the_runs_folder(finished_run):
    run = finished_run(*TINY, "logger={_target_:pytorch_lightning.loggers.CSVLogger}")
    assert run.returncode == 0, run.stderr
    [first, *_] = run.rows("lightning_logs/version_0/metrics.csv")
    assert {"train/loss", "val/acc"} <= first.keys()
    assert run.result["wandb"] is None


def test_a_logger_that_takes_the_record_is_handed_it(train, tmp_path):
    words = ["--trust=loggers", "logger._target_=loggers.Ours", "+logger.name=ours"]
    done = train(*TINY, *words, "hydra.run.dir=run")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run/ours/version_0/metrics.csv").exists()
    assert '"noted": "ours"' in (tmp_path / "run/result.json").read_text()


@pytest.mark.parametrize("name", ["logger", "callbacks", "loader", "calibration"])
def test_a_question_without_an_answer_is_named(train, name):
    done = train(*[word for word in TINY if not word.startswith(name)], f"~{name}")
    assert done.returncode == 1
    assert f"{name}: no option is chosen" in done.stderr
