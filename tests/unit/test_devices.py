import os
from types import SimpleNamespace

import pytest
import torch
from jobs import composed
from pytorch_lightning.plugins.environments import LightningEnvironment

from regraft import checkpoints, devices
from regraft.errors import RegraftError
from regraft.experiment import make_trainer


@pytest.fixture
def under_slurm(monkeypatch):
    for name, value in {"SLURM_NTASKS": "1", "SLURM_JOB_ID": "7", "SLURM_JOB_NAME": "x"}.items():
        monkeypatch.setenv(name, value)
    for name in ("SLURM_PROCID", "SLURM_LOCALID", "SLURM_NODEID"):
        monkeypatch.setenv(name, "0")


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"SLURM_NTASKS": "4"},
        {"SLURM_NTASKS": "4", "SLURM_NTASKS_PER_NODE": "2", "SLURM_NNODES": "2"},
    ],
    ids=["task", "tasks", "nodes"],
)
@pytest.mark.parametrize("count", [1, 2])
def test_in_an_allocation_of_slurm_a_job_has_the_devices_that_it_asks_for(
    count, more, under_slurm, monkeypatch, tmp_path
):
    """Lightning would take its own from the number of tasks, or refuse it."""
    for name, value in more.items():
        monkeypatch.setenv(name, value)
    words = ["trainer.accelerator=cpu", f"trainer.devices={count}"]
    trainer = make_trainer(composed(tmp_path, *words), None, [])
    assert trainer.world_size == count
    around = trainer._accelerator_connector.cluster_environment
    assert isinstance(around, LightningEnvironment)  # which puts no job back into the queue
    assert not around.creates_processes_externally


def test_a_job_that_srun_starts_several_times_is_refused_but_for_the_first(
    under_slurm, monkeypatch, tmp_path
):
    monkeypatch.setenv("SLURM_PROCID", "2")
    with pytest.raises(RegraftError, match=r"this is task 2 of an srun .*srun --ntasks=1"):
        make_trainer(composed(tmp_path, "trainer.accelerator=cpu"), None, [])


def test_torchrun_starts_the_processes_of_a_job(monkeypatch):
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "1")
    assert devices.plugins() == []


@pytest.mark.parametrize(
    ("words", "sweep", "expected"),
    [
        (["hydra/launcher=joblib"], True, [1]),
        (["hydra/launcher=joblib", "trainer.accelerator=cpu"], True, 1),
        (["hydra/launcher=joblib", "trainer.devices=2"], True, 2),
        (["hydra/launcher=joblib"], False, 1),
        ([], True, 1),
    ],
)
def test_jobs_side_by_side_have_a_device_each(words, sweep, expected, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", lambda index: None)
    where = ["hydra.job.num=3", f"hydra.sweep.dir={tmp_path}"]
    cfg = composed(tmp_path, *words, *where, sweep=sweep)
    with devices.own_device(cfg):
        assert cfg.trainer.devices == expected


@pytest.fixture
def two(monkeypatch):
    """What one of two processes asks for its last checkpoint: (folder, rank) → path, seconds."""
    monkeypatch.setenv(checkpoints.TOLD, "of another job")
    loader = {"config": {"loader": {"batch_size": 8}}}

    def left(folder, rank, *, external=False):
        monkeypatch.setattr(checkpoints, "rank", lambda: rank)
        last = checkpoints.Last(path=str(folder / "checkpoints" / "last.ckpt"), minutes=None)
        around = SimpleNamespace(creates_processes_externally=external)
        strategy = SimpleNamespace(cluster_environment=around)
        trainer = SimpleNamespace(world_size=2, callbacks=[last], strategy=strategy)
        record = SimpleNamespace(spent=dict, goes_on_from=lambda spent: None)
        return checkpoints.left_by_earlier(trainer, SimpleNamespace(card=loader), record)

    def keep(folder):
        path = folder / "checkpoints" / "last.ckpt"
        path.parent.mkdir(parents=True)
        resume = {"fit_s": 1.5, "spent": {}}
        torch.save({"regraft": loader, "resume": resume, "global_step": 3}, path)
        return path

    return SimpleNamespace(left=left, keep=keep)


def test_both_processes_of_a_killed_job_go_on_from_the_first_one_s_checkpoint(two, tmp_path):
    path = two.keep(tmp_path / "first")
    assert two.left(tmp_path / "first", 0) == (path, 1.5)
    assert two.left(tmp_path / "second", 1) == (path, 1.5)


def test_both_processes_of_a_new_job_begin_at_its_beginning(two, tmp_path):
    assert two.left(tmp_path / "first", 0) == (None, 0.0)
    assert checkpoints.TOLD not in os.environ
    assert two.left(tmp_path / "second", 1) == (None, 0.0)


def test_a_job_whose_processes_somebody_else_has_started_does_not_go_on(two, tmp_path):
    two.keep(tmp_path)
    with pytest.raises(RegraftError, match="goes on without torchrun only"):
        two.left(tmp_path, 0, external=True)
