"""How a run ends: what of it is kept, whichever of the trainer's keys ended it."""

import errno
import fcntl
import os
import sqlite3

import pytest
import torch
import trainer_keys
from omegaconf import OmegaConf
from runs import TINY, filled

from regraft import checkpoint_io
from regraft.paths import conf_folder

BASE = (*TINY, "head=linear")
# Ways to end before anything was validated.
UNJUDGED = (
    ("+trainer.max_steps=2", 2),
    ("trainer.limit_val_batches=0", 3),
)


def test_every_key_that_the_trainers_files_show_is_tried_with_two_values():
    shown = {
        str(key)
        for file in (conf_folder() / "trainer").glob("*.yaml")
        for key in OmegaConf.load(file)
        if key not in ("_target_", "defaults")
    }
    assert shown == trainer_keys.KEYS.keys()
    assert all(len(values) > 1 for values in trainer_keys.KEYS.values())


@pytest.mark.parametrize("column", [0, 1])
def test_values_of_the_trainer_train_and_leave_a_whole_run(finished_run, column):
    run = finished_run(*BASE, *trainer_keys.together(column))
    assert run.returncode == 0, run.stderr
    assert run.result["status"] == "finished"
    kept = {path.name for path in (run.folder / "checkpoints").iterdir()}
    assert kept == {"best.ckpt", "last.ckpt"}
    assert (run.folder / "curves.png").exists()


@pytest.mark.parametrize(("word", "said"), trainer_keys.REFUSED)
def test_or_they_are_refused_before_anything_is_trained(train, tmp_path, word, said):
    done = train(*BASE, word, "hydra.run.dir=run")
    assert done.returncode == 1
    assert said in done.stdout + done.stderr
    assert "debug=on" not in done.stdout + done.stderr
    assert not (tmp_path / "run" / "metrics.csv").exists()


@pytest.mark.parametrize(
    "name", ["accelerator", "devices", "max_epochs", "check_val_every_n_epoch"]
)
def test_a_trainer_without_what_every_job_asks_it_for_is_refused(train, name):
    done = train(*[word for word in BASE if f"trainer.{name}=" not in word], f"~trainer.{name}")
    assert f"trainer.{name} is not set; add trainer.{name}=<value>" in done.stdout + done.stderr


def test_validation_before_the_training_changes_nothing_that_comes_after(finished_run):
    words = (*BASE, "strategy=finetune", "callbacks=ema", "trainer.max_epochs=2")
    with_it = finished_run(*words, "trainer.num_sanity_val_steps=-1")
    without = finished_run(*words)
    assert with_it.witness["losses"] == without.witness["losses"]
    assert with_it.rows("metrics.csv") == without.rows("metrics.csv")
    assert with_it.result["metrics"] == without.result["metrics"]


@pytest.mark.parametrize("more", [(), ("callbacks=ema", "strategy=finetune")])
@pytest.mark.parametrize(("word", "steps"), UNJUDGED)
def test_a_run_without_validation_keeps_its_last_weights_as_the_best(
    finished_run, regraft, word, steps, more
):
    run = finished_run(*BASE, *more, word)
    found = run.result
    assert found["status"] == "finished"
    assert found["checkpoint"] == "checkpoints/best.ckpt"
    assert found["best_epoch"] is None  # none was judged
    assert "nothing was validated during the training: best.ckpt has its last weights" in run.stderr
    assert len(run.witness["losses"]) == steps
    best = torch.load(run.folder / found["checkpoint"], weights_only=True)
    assert best["global_step"] == steps
    last = torch.load(run.folder / "checkpoints/last.ckpt", weights_only=True)
    assert all(torch.equal(best["state_dict"][n], t) for n, t in last["state_dict"].items())
    done = regraft("predict", str(run.folder), filled("{stripes}/test"), "--out", "said.csv")
    assert done.returncode == 0, done.stderr


def test_the_best_checkpoint_holds_weights_and_the_last_what_a_training_goes_on_from(finished_run):
    run = finished_run(*BASE, "strategy=finetune", "callbacks=ema")
    best, last = (
        torch.load(run.folder / "checkpoints" / name, weights_only=True)
        for name in ("best.ckpt", "last.ckpt")
    )
    assert not best.keys() & {*checkpoint_io.STATES}
    assert {*checkpoint_io.STATES, checkpoint_io.RESUME} <= last.keys()
    weights = sum(t.numel() * t.element_size() for t in best["state_dict"].values())
    assert (run.folder / "checkpoints/best.ckpt").stat().st_size < 1.2 * weights


def test_a_trial_keeps_no_weights_and_says_so_wherever_it_is_asked(finished_run, regraft, tmp_path):
    run = finished_run(*BASE, "callbacks=export_trunk", "+trainer.fast_dev_run=true")
    assert run.returncode == 0
    assert run.result["trial"] is True
    assert run.result["checkpoint"] is None
    assert "trainer.fast_dev_run: these numbers say nothing" in run.stdout
    kept = [path for name in ("*.ckpt", "trunk.*") for path in run.folder.rglob(name)]
    assert not kept
    why = "this run was a trial (trainer.fast_dev_run)"
    for words in (
        ("predict", str(run.folder), str(tmp_path)),
        ("export", str(run.folder), "--to", "timm", "--out", "out"),
        ("ensemble", str(run.folder), "--out", "both"),
    ):
        done = regraft(*words)
        assert done.returncode == 1
        assert why in done.stdout + done.stderr


def test_a_job_goes_on_where_nothing_can_be_locked(train, monkeypatch, tmp_path):
    """As on some network drives: without the facts about files, and with a line for each."""

    def refuse(*_):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    def no_table(*_, **__):
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(fcntl, "flock", refuse)
    monkeypatch.setattr(sqlite3, "connect", no_table)
    done = train("-m", *BASE, "seed=0,1", "hydra.sweep.dir=s", REGRAFT_CACHE=str(tmp_path / "c"))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "s" / "sweep.csv").exists()
    assert done.stderr.count("what is known about files is not kept") <= 1
    assert done.stderr.count("nothing is locked there, it may be made twice") == 1
