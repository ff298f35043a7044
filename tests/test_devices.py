import pytest
import torch
from jobs import composed

from regraft import devices
from regraft.experiment import make_trainer


@pytest.fixture
def under_slurm(monkeypatch):
    for name, value in {"SLURM_NTASKS": "1", "SLURM_JOB_ID": "7", "SLURM_JOB_NAME": "x"}.items():
        monkeypatch.setenv(name, value)
    for name in ("SLURM_PROCID", "SLURM_LOCALID", "SLURM_NODEID"):
        monkeypatch.setenv(name, "0")


def test_under_slurm_lightning_puts_no_job_back_into_the_queue(under_slurm, tmp_path):
    trainer = make_trainer(composed(tmp_path, "trainer.accelerator=cpu"), None, [])
    assert trainer._accelerator_connector.cluster_environment.auto_requeue is False


def test_elsewhere_lightning_is_told_nothing_of_slurm(tmp_path):
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
