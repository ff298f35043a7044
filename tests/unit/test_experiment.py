"""What ends a job before any training, and what goes into its record."""

import json
import math

import pytest
from jobs import composed, run_job
from omegaconf import OmegaConf

from regraft import logger, tracking
from regraft.errors import RegraftError
from regraft.experiment import make_trainer
from regraft.tracking import Job

TWO = ("trainer.devices=2", "trainer.accelerator=cpu")


def result(folder):
    return json.loads((folder / "result.json").read_text())


@pytest.mark.parametrize(("epochs", "validated"), [(2, [1]), (7, range(7)), (8, [3, 7])])
def test_the_last_epoch_is_validated_whatever_the_time_between(epochs, validated, tmp_path):
    words = [f"trainer.max_epochs={epochs}", "trainer.check_val_every_n_epoch=5"]
    every = make_trainer(composed(tmp_path, *words), None, []).check_val_every_n_epoch
    # Lightning validates after each epoch whose number, counted from one, can be divided by it.
    assert [epoch for epoch in range(epochs) if (epoch + 1) % every == 0] == list(validated)


def test_online_without_a_key_goes_offline_and_asks_nothing(monkeypatch, caplog):
    monkeypatch.setenv("WANDB_MODE", "online")
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("NETRC", "/nowhere")
    assert logger.wandb_mode() == "offline"
    assert "wandb login" in caplog.text


def test_numbers_that_json_does_not_know_become_null(tmp_path):
    record = tracking.Record(Job(tmp_path, {}, (), None), OmegaConf.create(), {"a": [math.nan, 1]})
    record.write()
    assert json.loads((tmp_path / "result.json").read_text()) == {"a": [None, 1]}


def test_who_reads_a_result_while_a_new_one_is_written_reads_the_old_one_whole(tmp_path):
    record = tracking.Record(Job(tmp_path, {}, (), None), OmegaConf.create(), {"epoch": 1})
    record.write()
    with (tmp_path / "result.json").open() as reader:
        record.result["epoch"] = 2
        record.write()
        assert json.load(reader) == {"epoch": 1}
    assert json.loads((tmp_path / "result.json").read_text()) == {"epoch": 2}


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
        (
            ["trainer.strategy=ddp", *TWO[1:], "trainer.sync_batchnorm=true"],
            "only accelerators can",
        ),
        ([*TWO, "+trainer.num_nodes=2"], "on the devices of one computer"),
        ([*TWO, "loader.on_oom=halve"], "2 devices cannot agree on it; leave it out"),
        ([*TWO, "features=on"], "features=on: 2 devices train together"),
        ([*TWO, "strategy=collect"], "computed once, which they are not: 2 devices"),
        (["callbacks.checkpoint.monitor=val/loss"], "add callbacks.checkpoint.mode=min"),
        (["callbacks.checkpoint.monitor=val/f1"], "did you mean 'val/macro_f1'?"),
        (["callbacks=early_stopping", "callbacks.early_stopping.mode=min"], "mode=max"),
        (
            ["callbacks.checkpoint.filename=good"],
            "callbacks.checkpoint.filename=good: must be best",
        ),
        (["callbacks.checkpoint.dirpath=/x"], "must be ${output_dir}/checkpoints, where other"),
        (["+callbacks.checkpoint.save_last=true"], "callbacks.checkpoint.save_last=True: must be"),
        (["+callbacks.checkpoint.save_weights_only=true"], "save_weights_only=True: must be False"),
        (["+callbacks.checkpoint.every_n_train_steps=5"], "every_n_train_steps=5: must be 0"),
        (["+callbacks.checkpoint.save_top_k=-1"], "the best and the last are kept"),
        (["+trainer.enable_progress_bar=true"], "enable_progress_bar is set by regraft itself"),
        (["trainer.max_epochs=null"], "trainer.max_epochs=None: must be an integer"),
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
