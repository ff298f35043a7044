"""Every strategy on every family, and jobs that share a process."""

import csv
import json
import math

import pytest
import torch
import wandb
import wandb_file
from families import FAMILIES
from jobs import run_job
from omegaconf import OmegaConf

from regraft import logger, tracking
from regraft.errors import RegraftError
from regraft.paths import conf_folder
from regraft.tracking import Job

TWO = ("trainer.devices=2", "trainer.accelerator=cpu")

STRATEGIES = sorted(path.stem for path in (conf_folder() / "strategy").glob("*.yaml"))
FAST = ["debug=fast", "logger=none", "data.per_class=5", "backbone=timm", "backbone.weights=random"]


def result(folder):
    return json.loads((folder / "result.json").read_text())


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_strategy_runs_on_every_family(strategy, family, tmp_path):
    name, size = FAMILIES[family]
    words = [f"strategy={strategy}", f"backbone.name={name}", f"backbone.size={size}", *FAST]
    if (family, strategy) == ("vit", "partial"):
        with pytest.raises(RegraftError, match="needs a feature map"):
            run_job(tmp_path / "conv_mlp", *words)
        words.append("head=mlp")
    run_job(tmp_path, *words)

    found = result(tmp_path)
    assert found["status"] == "finished"
    assert 0 <= found["metrics"]["test/acc"] <= 1
    trained = found["cost"]["params_trained"]
    if strategy in ("feature_extraction", "collect"):
        assert trained < found["cost"]["params_total"] / 2
    if strategy in ("finetune", "scratch", "lp_ft", "gradual"):
        assert trained == found["cost"]["params_total"]


def test_jobs_of_one_process_do_not_change_each_other(tmp_path):
    words = ["debug=fast", "logger=none", "data.per_class=5", "strategy=finetune"]
    for name in ("alone", "other", "after"):
        (tmp_path / name).mkdir()
    run_job(tmp_path / "alone", *words, "seed=0")
    run_job(
        tmp_path / "other", *words, "seed=3", "strategy=scratch", "trainer.precision=bf16-mixed"
    )
    run_job(tmp_path / "after", *words, "seed=0")
    alone, other, after = (result(tmp_path / n)["metrics"] for n in ("alone", "other", "after"))

    assert alone == after
    assert alone != other


def test_seed_zero_is_a_seed(tmp_path):
    words = ["debug=fast", "logger=none", "data.per_class=5", "strategy=scratch"]
    found = []
    for seed in (0, 0, 1):
        torch.manual_seed(12345 + len(found))  # what an earlier job may have left behind
        folder = tmp_path / str(len(found))
        run_job(folder, *words, f"seed={seed}")
        found.append(result(folder)["metrics"])
    assert found[0] == found[1] != found[2]


def test_scratch_reads_no_weights_and_so_needs_no_network(tmp_path, monkeypatch):
    monkeypatch.setattr("regraft.weights.load", None)
    words = ["debug=fast", "logger=none", "data.per_class=2", "backbone=timm"]
    run_job(tmp_path, *words, "backbone.name=test_resnet", "backbone.size=32", "strategy=scratch")
    assert result(tmp_path)["weights"] is None


def test_a_trunk_that_is_not_all_kept_sees_every_image_in_every_epoch(tmp_path):
    words = ["logger=none", "data.per_class=2", "trainer.max_epochs=3", "strategy=finetune"]
    run_job(tmp_path, *words)
    found = result(tmp_path)
    sizes = found["data"]
    expected = 3 * (sizes["train"] + sizes["val"]) + sizes["val"] + sizes["test"]
    assert found["cost"]["images_forwarded"] == expected
    assert found["cost"]["cache"] == "off"


@pytest.mark.parametrize(("epochs", "validated"), [(2, [1]), (7, range(7)), (8, [3, 7])])
def test_the_last_epoch_is_validated_whatever_the_time_between(epochs, validated, tmp_path):
    words = ["logger=none", "data.per_class=2", f"trainer.max_epochs={epochs}"]
    run_job(tmp_path, *words, "trainer.check_val_every_n_epoch=5")
    with (tmp_path / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["epoch"]) for row in rows if row["val/acc"]] == list(validated)
    assert result(tmp_path)["checkpoint"] == "checkpoints/best.ckpt"


def test_the_judged_epoch_is_the_best_by_what_is_monitored(tmp_path):
    words = ["callbacks.checkpoint.monitor=val/loss", "callbacks.checkpoint.mode=min"]
    run_job(tmp_path, "logger=none", "data.per_class=3", "trainer.max_epochs=5", *words)
    with (tmp_path / "metrics.csv").open(newline="") as file:
        losses = [float(row["val/loss"]) for row in csv.DictReader(file)]
    assert result(tmp_path)["best_epoch"] == losses.index(min(losses))


def test_a_folder_with_a_result_is_not_written_over(tmp_path):
    words = ["logger=none", "data.per_class=2", "trainer.max_epochs=1"]
    run_job(tmp_path, *words)
    before = (tmp_path / "result.json").read_text()
    with pytest.raises(RegraftError, match="holds the result of an earlier run"):
        run_job(tmp_path, *words, "seed=1")
    assert (tmp_path / "result.json").read_text() == before


@pytest.mark.slow
def test_a_moving_average_does_a_short_training_no_harm(tmp_path):
    """With a decay of 0.99 from the start, half of the first weights would be left."""
    words = ["logger=none", "strategy=finetune", "data.per_class=5", "trainer.max_epochs=20"]
    plain = run_job(tmp_path / "plain", *words)
    averaged = run_job(tmp_path / "ema", *words, "callbacks=ema")
    assert averaged > plain - 0.05


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
    run_job(tmp_path, "data.per_class=2", "trainer.max_epochs=1")
    assert "not reached, logging offline (make sync uploads it): timed out" in caplog.text
    assert wandb_file.read(tmp_path)["exit_code"] == 0
    assert logger.wandb_mode() == "offline"  # the next job does not wait


def test_a_wandb_that_breaks_down_ends_no_training(tmp_path, monkeypatch, caplog):
    def broken(*_, **__):
        raise BrokenPipeError("the service is gone")

    for name in ("log", "finish", "define_metric"):
        monkeypatch.setattr(wandb.Run, name, broken)
    run_job(tmp_path, "data.per_class=2", "trainer.max_epochs=1")
    assert result(tmp_path)["status"] == "finished"
    assert "the service is gone" in caplog.text


@pytest.mark.parametrize(("mode", "said"), [("disabled", "W&B"), ("offline", "None")])
def test_the_summary_speaks_of_wandb_only_where_there_is_a_run(mode, said, tmp_path, capsys):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WANDB_MODE", mode)
        run_job(tmp_path, "data.per_class=2", "trainer.max_epochs=1")
    assert said not in capsys.readouterr().out.partition("accuracy")[2]


def test_online_without_a_key_goes_offline_and_asks_nothing(monkeypatch, caplog):
    monkeypatch.setenv("WANDB_MODE", "online")
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("NETRC", "/nowhere")
    assert logger.wandb_mode() == "offline"
    assert "wandb login" in caplog.text


def test_the_run_is_named_after_what_was_built(tmp_path):
    words = ["backbone=timm", "backbone.name=test_resnet", "backbone.weights=random"]
    run_job(tmp_path, *words, "data.per_class=2", "trainer.max_epochs=1")
    run = wandb_file.read(tmp_path)["run"]
    assert run.display_name == "feature_extraction-test_resnet-digits-s0"
    assert "timm" not in run.tags


def test_numbers_that_json_does_not_know_become_null(tmp_path):
    record = tracking.Record(Job(tmp_path, {}, (), None), OmegaConf.create(), {"a": [math.nan, 1]})
    record.write()
    assert json.loads((tmp_path / "result.json").read_text()) == {"a": [None, 1]}


@pytest.mark.parametrize("step", ["training_step", "validation_step", "predict_step"])
def test_ctrl_c_is_an_interruption_and_recorded(step, tmp_path, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(f"regraft.classifier.Classifier.{step}", interrupt)
    with pytest.raises(KeyboardInterrupt):
        run_job(tmp_path, "data.per_class=2", "trainer.max_epochs=1", "logger=none")
    assert result(tmp_path)["status"] == "interrupted"
    assert "interrupted" in result(tmp_path)["error"]


def test_a_job_that_goes_back_into_the_queue_has_not_failed(tmp_path, monkeypatch):
    def requeue(*_):
        raise SystemExit(144)  # as submitit does, once it has put the job back

    monkeypatch.setattr("regraft.classifier.Classifier.training_step", requeue)
    with pytest.raises(SystemExit):
        run_job(tmp_path, "data.per_class=2", "trainer.max_epochs=1", "logger=none")
    assert result(tmp_path)["status"] == "running"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["optimizer.lr=abc"], "optimizer.lr=abc: must be a number"),
        (["head.dropout=2"], "head.dropout=2: must be less than 1"),
        (["freeze=first", "freeze.above=melt"], "freeze.above=melt: must be one of "),
        (["data=image_folder"], "data.root is not set; add data.root=<value>"),
        (["backbone=timm"], "backbone.name is not set"),
        (["backbone=timm", "backbone.name=resnet_50"], "did you mean 'resnet50"),
        (["data=image_folder", "data.root=/nowhere"], "/nowhere"),
        (["freeze=custom", "freeze.actions=[tune,keep,keep,keep,keep]"], "kept above stage 0"),
        (["freeze=first", "freeze.stages=9"], "the backbone has 5 stages (stem included)"),
        (["sweep=quadrants"], "add -m"),
        (["backbone.weights=/nowhere.pth"], "no such file"),
        (["seed=-1"], "seed=-1"),
        (["strategy=collect", "freeze=none"], "leave freeze=all"),
        (["data.per_class=100000"], "per_class"),
        (["head._target_=os.system"], "REGRAFT_TRUST=os"),
        (["strategy=collect", "strategy.target_acc=1.2"], "target_acc"),
        (["strategy=collect", "data.per_class=2"], "at least three"),
        (["trainer.max_epochs=many"], "trainer.max_epochs=many"),
        (["trainer.precision=17"], "trainer.precision=17: must be one of 64, 32, 16, transformer"),
        (["trainer.accelerator=tpuu"], "trainer.accelerator=tpuu: You selected an invalid"),
        (["trainer.accelerator=tpuu"], "; leave it out or use cpu"),
        (["+foo=3"], "foo: no such key"),
        (["scheduler.warmup=2"], "scheduler.warmup=2"),
        (["loader.batch_size=0"], "loader.batch_size=0"),
        ([*TWO, "strategy=gradual"], "add trainer.strategy=ddp_find_unused"),
        ([*TWO, "trainer.strategy=ddp_spawn"], "use trainer.strategy=ddp"),
        ([*TWO, "loader.batch_size=3"], "loader.batch_size: 3 cannot be shared by 2 devices"),
        ([*TWO, "trainer.sync_batchnorm=true"], "only accelerators can"),
        ([*TWO, "+trainer.num_nodes=2"], "on the devices of one computer"),
        ([*TWO, "loader.on_oom=halve"], "2 devices cannot agree on it; leave it out"),
        ([*TWO, "features=on"], "features=on: 2 devices train together"),
        ([*TWO, "strategy=collect"], "computed once, which they are not: 2 devices"),
        (["callbacks.checkpoint.monitor=val/loss"], "add callbacks.checkpoint.mode=min"),
        (["callbacks=early_stopping", "callbacks.early_stopping.mode=min"], "mode=max"),
        (["+callbacks.checkpoint.save_top_k=-1"], "the best and the last are kept"),
        (["+trainer.enable_progress_bar=true"], "enable_progress_bar is set by regraft itself"),
        (["trainer.max_epochs=null"], "give a number of epochs, at least 1"),
        (["~optimizer"], "optimizer: no option is chosen"),
        (["quadrant=big_similar", "data=digits"], "quadrant=big_similar brings its own data"),
        (["output_dir=/tmp/elsewhere"], "set hydra.run.dir instead"),
        (["data=image_folder", "data.root="], "data.root"),
        (["tags=mine"], "tags=mine: must be a list"),
        (["features=on", "strategy=finetune"], "features=on: no leading stage is kept"),
        (["strategy=collect", "features=off"], "computed once, which they are not: features=off"),
    ],
)
def test_what_is_wrong_is_one_line_and_recorded(words, message, tmp_path):
    with pytest.raises(RegraftError, match=".") as caught:
        run_job(tmp_path, *words, "logger=none")

    text = str(caught.value)
    assert message in text
    assert "\n" not in text
    if "sweep=quadrants" not in words:
        assert result(tmp_path)["status"] == "failed"
        assert message in result(tmp_path)["error"]


def test_in_a_sweep_a_job_trains_on_one_device(tmp_path):
    with pytest.raises(RegraftError, match="trainer.devices=2: in a sweep a job trains on one"):
        run_job(tmp_path, *TWO, "logger=none", sweep=True)
    assert result(tmp_path)["status"] == "failed"


def test_a_folder_in_which_a_job_was_refused_is_free(tmp_path):
    words = ["logger=none", "data.per_class=2", "trainer.max_epochs=1"]
    with pytest.raises(RegraftError, match="must be less than 1"):
        run_job(tmp_path, *words, "calibration.precision=2")
    assert result(tmp_path)["status"] == "failed"
    run_job(tmp_path, *words)
    assert result(tmp_path)["status"] == "finished"
