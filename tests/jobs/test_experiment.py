"""Whole jobs: every strategy, every family, and jobs that share a process."""

import json

import families
import golden
import pytest
import torch
import wandb
import wandb_file
from jobs import run_job
from runs import TINY, filled

from regraft import config, logger
from regraft.errors import RegraftError
from regraft.monitors import LOGGED
from regraft.paths import conf_folder

STRATEGIES = sorted(path.stem for path in (conf_folder() / "strategy").glob("*.yaml"))
# As other tests want them, too.
AUTO = "strategy=auto data=digits data.per_class=5 logger=none trainer.max_epochs=2"
JOBS = {**golden.JOBS, "auto": AUTO.split()}
FINETUNE = (*TINY, "strategy=finetune")


def result(folder):
    return json.loads((folder / "result.json").read_text())


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_strategy_runs(strategy, finished_run):
    found = finished_run(*JOBS[strategy]).result

    assert found["status"] == "finished"
    assert 0 <= found["metrics"]["test/acc"] <= 1
    trained = found["cost"]["params_trained"]
    if strategy in ("feature_extraction", "collect"):
        assert trained < found["cost"]["params_total"] / 2
    if strategy in ("finetune", "scratch", "lp_ft", "gradual"):
        assert trained == found["cost"]["params_total"]


@pytest.mark.parametrize("family", families.FAMILIES)
def test_every_family_runs(family, finished_run):
    found = finished_run(*TINY, *families.cut(family, "on")).result

    assert found["status"] == "finished"
    assert 0 <= found["metrics"]["test/acc"] <= 1
    assert 0 < found["cost"]["params_trained"] < found["cost"]["params_total"]


def test_a_head_of_convolutions_is_refused_where_there_is_no_map(tmp_path, finished_run):
    words = (*TINY, *families.words("vit"), "strategy=partial")
    with pytest.raises(RegraftError, match="needs one feature map"):
        run_job(tmp_path, *words)
    assert finished_run(*words, "head=mlp").result["status"] == "finished"


def test_too_few_images_for_a_curve_are_one_line(tmp_path):
    with pytest.raises(RegraftError, match="at least three sizes") as found:
        run_job(tmp_path, *TINY, "strategy=collect", "data.per_class=2")
    assert "\n" not in str(found.value)
    assert result(tmp_path)["status"] == "failed"


def test_jobs_of_one_process_do_not_change_each_other(tmp_path, finished_run):
    alone = finished_run(*FINETUNE).result["metrics"]
    run_job(tmp_path / "other", *TINY, "seed=3", "strategy=scratch", "trainer.precision=bf16-mixed")
    run_job(tmp_path / "after", *FINETUNE)

    assert result(tmp_path / "after")["metrics"] == alone
    assert result(tmp_path / "other")["metrics"] != alone


def test_seed_zero_is_a_seed(tmp_path, finished_run):
    zero = finished_run(*JOBS["scratch"]).result["metrics"]
    for seed in (0, 1):
        torch.manual_seed(12345)  # what an earlier job may have left behind
        run_job(tmp_path / str(seed), *JOBS["scratch"], f"seed={seed}")
    assert result(tmp_path / "0")["metrics"] == zero != result(tmp_path / "1")["metrics"]


def test_scratch_reads_no_weights_and_so_needs_no_network(tmp_path, monkeypatch):
    monkeypatch.setattr("regraft.weights.load", None)
    words = ["backbone=timm", "backbone.name=test_resnet", "strategy=scratch"]
    run_job(tmp_path, *TINY, *words)
    assert result(tmp_path)["weights"] is None


def test_a_trunk_that_is_not_all_kept_sees_every_image_in_every_epoch(finished_run):
    found = finished_run(*JOBS["finetune"]).result
    assert (found["data"]["train"], found["data"]["val"], found["data"]["test"]) == (24, 8, 8)
    assert found["cost"]["images_forwarded"] == 4 * (24 + 8) + 8 + 8
    assert found["cost"]["cache"] == "off"


def test_the_last_epoch_is_validated_though_it_is_not_its_turn(finished_run):
    run = finished_run(*TINY, "trainer.max_epochs=2", "trainer.check_val_every_n_epoch=5")
    assert [int(row["epoch"]) for row in run.rows("metrics.csv") if row["val/acc"]] == [1]
    assert run.result["checkpoint"] == "checkpoints/best.ckpt"


@pytest.mark.parametrize("watched", LOGGED)
def test_the_judged_epoch_is_the_best_by_what_is_monitored(watched, finished_run):
    mode = LOGGED[watched]
    words = [f"callbacks.checkpoint.monitor={watched}", f"callbacks.checkpoint.mode={mode}"]
    run = finished_run(*JOBS["finetune"], *(words if watched != "val/acc" else ()))
    values = [float(row[watched]) for row in run.rows("metrics.csv")]
    assert len(values) == 4
    assert run.result["best_epoch"] == values.index({"max": max, "min": min}[mode](values))
    for name in ("acc", "loss", "macro_f1", "balanced_acc"):  # of the epoch that was judged
        then = float(run.rows("metrics.csv")[run.result["best_epoch"]][f"val/{name}"])
        assert run.result["metrics"][f"val/{name}"] == pytest.approx(then, abs=1e-4)


def test_what_is_judged_are_the_weights_of_the_best_epoch_not_the_last_ones(finished_run):
    run = finished_run(*JOBS["finetune"])
    losses = [float(row["val/loss"]) for row in run.rows("metrics.csv")]
    assert run.result["best_epoch"] < 3
    assert abs(losses[run.result["best_epoch"]] - losses[-1]) > 0.002
    assert run.result["metrics"]["val/loss"] == pytest.approx(
        losses[run.result["best_epoch"]], abs=1e-4
    )


def test_a_job_is_the_same_whether_its_backbone_was_built_for_it_or_for_an_earlier_one(tmp_path):
    words = [*TINY, "strategy=scratch", "augment=light", "balance=sampler"]
    config._built.cache_clear()
    for name in ("built", "found"):
        run_job(tmp_path / name, *words)
    assert config._built.cache_info().hits == 1
    metrics = [result(tmp_path / name)["metrics"] for name in ("built", "found")]
    assert metrics[0] == metrics[1]


def test_a_folder_with_a_result_is_not_written_over(tmp_path, finished_run):
    folder = finished_run(*TINY).copy(tmp_path / "run")
    before = (folder / "result.json").read_text()
    with pytest.raises(RegraftError, match="holds the result of an earlier run"):
        run_job(folder, *TINY, "seed=1")
    assert (folder / "result.json").read_text() == before


def test_a_folder_in_which_a_job_was_refused_is_free(tmp_path):
    with pytest.raises(RegraftError, match="must be less than 1"):
        run_job(tmp_path, *TINY, "calibration.precision=2")
    assert result(tmp_path)["status"] == "failed"
    run_job(tmp_path, *TINY)
    assert result(tmp_path)["status"] == "finished"


# Weights & Biases.

OFFLINE = (*TINY, *families.words("resnet"), "logger=wandb")


def test_wandb_goes_offline_when_nobody_answers(tmp_path, monkeypatch, caplog):
    begin = wandb.init

    def init(mode, **options):
        if mode == "online":
            raise wandb.errors.CommError("timed out")
        return begin(mode=mode, **options)

    monkeypatch.setenv("WANDB_MODE", "online")
    monkeypatch.setattr(wandb, "init", init)
    monkeypatch.setattr(wandb, "login", lambda **_: True)
    monkeypatch.setattr(logger, "reached", lambda: True)
    run_job(tmp_path, *TINY, "logger=wandb")
    assert "not reached, logging offline (make sync uploads it): timed out" in caplog.text
    assert wandb_file.read(tmp_path)["exit_code"] == 0
    assert logger.wandb_mode() == "offline"  # the next job does not wait


def test_a_wandb_that_breaks_down_ends_no_training(tmp_path, monkeypatch, caplog):
    def broken(*_, **__):
        raise BrokenPipeError("the service is gone")

    for name in ("log", "finish", "define_metric"):
        monkeypatch.setattr(wandb.Run, name, broken)
    run_job(tmp_path, *TINY, "logger=wandb")
    assert result(tmp_path)["status"] == "finished"
    assert "the service is gone" in caplog.text


def test_the_summary_speaks_of_no_wandb_where_there_is_no_run(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("WANDB_MODE", "disabled")
    run_job(tmp_path, *TINY, "logger=wandb")
    said = capsys.readouterr().out
    assert "accuracy" in said
    assert "W&B" not in said.partition("accuracy")[2]


def test_the_summary_says_where_the_curves_are(finished_run):
    said = finished_run(*OFFLINE).stdout.partition("accuracy")[2]
    assert "W&B" in said
    assert "None" not in said


def test_the_run_is_named_after_what_was_built(finished_run):
    run = wandb_file.read(finished_run(*OFFLINE).folder)["run"]
    assert run.display_name == "feature_extraction-test_resnet.random-stripes-s0"
    assert [*run.tags] == ["feature_extraction", "test_resnet.random", "stripes"]


# How a job ends that is not to end.


@pytest.mark.parametrize("step", ["training_step", "validation_step", "predict_step"])
def test_ctrl_c_is_an_interruption_and_recorded(step, tmp_path, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(f"regraft.classifier.Classifier.{step}", interrupt)
    with pytest.raises(KeyboardInterrupt):
        run_job(tmp_path, *TINY)
    assert result(tmp_path)["status"] == "interrupted"
    assert "interrupted" in result(tmp_path)["error"]


def test_a_job_that_goes_back_into_the_queue_has_not_failed(tmp_path, monkeypatch):
    def requeue(*_):
        raise SystemExit(144)  # as submitit does, once it has put the job back

    monkeypatch.setattr("regraft.classifier.Classifier.training_step", requeue)
    with pytest.raises(SystemExit):
        run_job(tmp_path, *TINY)
    assert result(tmp_path)["status"] == "running"


def test_the_font_of_pictures_is_recorded_and_an_unknown_one_refused_before_training(
    finished_run, train
):
    run = finished_run(*TINY, "figures.font=DejaVu Serif")
    assert run.result["figures"] == {"font": "DejaVu Serif"}
    done = train(*map(filled, TINY), "figures.font=DejaVu Sherif")
    assert done.returncode == 1
    assert "error: figures.font=DejaVu Sherif: no font of this name is installed" in done.stderr
    assert "did you mean 'DejaVu Serif'?" in done.stderr
