"""One job on several devices: what can be shared out, who judges; and a device of several."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytorch_lightning as pl
import torch
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.plugins.environments import LightningEnvironment, TorchElasticEnvironment
from pytorch_lightning.strategies import DDPStrategy

from regraft.beside import one_of, runs_side_by_side, sweep_folder
from regraft.config import build
from regraft.data.images import Images
from regraft.errors import RegraftError
from regraft.plan import Plan
from regraft.rank import rank

# What makes one of any trainer.
ALONE = {"devices": 1, "strategy": "auto", "sync_batchnorm": False}


class OwnDraws(pl.Callback):
    """Every device drops and changes its images in its own way; they begin with one seed."""

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.global_rank:
            torch.manual_seed(torch.initial_seed() + trainer.global_rank)


def plugins() -> list[Any]:
    """What Lightning would take from a cluster: here a job starts its processes by itself, however
    many tasks the allocation has, and submitit alone puts jobs back into the queue.

    Raises RegraftError in all but the first of several tasks that were started side by side.
    """
    if os.environ.get("SLURM_PROCID", "0") != "0" and not rank():
        raise RegraftError(
            f"this is task {os.environ['SLURM_PROCID']} of an srun that starts the job once for "
            "each: start it once (srun --ntasks=1, or without srun); with trainer.devices=4 it "
            "starts the other processes by itself"
        )
    return [] if TorchElasticEnvironment.detect() else [LightningEnvironment()]


def refuse_in_a_sweep(cfg: DictConfig, trainer: pl.Trainer) -> None:
    """Raises RegraftError for a job of a sweep that wants several devices."""
    sweeping = HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN
    if sweeping and trainer.world_size > 1:
        raise RegraftError(
            f"trainer.devices={cfg.trainer.devices}: in a sweep a job trains on one device; leave "
            "trainer.devices=1, and hydra/launcher=joblib runs jobs side by side"
        )


def refuse_what_cannot_be_shared(trainer: pl.Trainer, plan: Plan, images: Images) -> None:
    """Raises RegraftError for what does not train on several devices as it does on one."""
    count, strategy = trainer.world_size, trainer.strategy
    synced = getattr(strategy, "_layer_sync", None) is not None  # also on one device, by ddp
    if synced and strategy.root_device.type == "cpu":
        raise RegraftError("trainer.sync_batchnorm=true: only accelerators can; leave it out")
    if count == 1:
        return
    if type(strategy) is not DDPStrategy or strategy._start_method != "popen":
        raise RegraftError(
            f"trainer.strategy on {count} devices: only ddp keeps what is frozen and records once; "
            "use trainer.strategy=ddp"
        )
    if images.on_oom == "halve":
        raise RegraftError(
            f"loader.on_oom=halve: {count} devices cannot agree on it; leave it out and give a "
            "smaller loader.batch_size"
        )
    if trainer.num_nodes > 1:
        raise RegraftError("trainer.num_nodes: a job trains on the devices of one computer")
    if any(plan.starts) and not strategy._ddp_kwargs.get("find_unused_parameters"):
        raise RegraftError(
            "stages that begin to train later (gradual, lp_ft) on several devices: add "
            "trainer.strategy=ddp_find_unused_parameters_true"
        )
    least = 2 * count  # a device with a single image fails in batch norm
    for what, number in {
        "loader.batch_size": images.batch_size,
        "training images": images.sizes["train"],
    }.items():
        if number < least:
            raise RegraftError(
                f"{what}: {number} cannot be shared by {count} devices, which want 2 each; "
                f"give at least {least}"
            )


@contextmanager
def own_device(cfg: DictConfig) -> Iterator[None]:
    """Give a job of several that run side by side one of the accelerators, if there are several."""
    hydra = HydraConfig.get()
    wanted = OmegaConf.select(cfg, "trainer.accelerator"), OmegaConf.select(cfg, "trainer.devices")
    count = torch.cuda.device_count() if wanted[0] in ("auto", "gpu", "cuda") else 0
    if not runs_side_by_side(hydra) or count < 2 or wanted[1] != 1:
        yield
        return
    with one_of(count, int(hydra.job.num), sweep_folder(hydra)) as index:
        torch.cuda.set_device(index)
        cfg.trainer.devices = [index]
        yield


def judge(cfg: DictConfig, trainer: pl.Trainer) -> pl.Trainer:
    """Who predicts: the trainer itself, or one on one device, as several would leave gaps."""
    if trainer.world_size == 1:
        return trainer
    node = OmegaConf.merge(cfg.trainer, ALONE)
    quiet = {"enable_progress_bar": False, "enable_model_summary": False}
    assert isinstance(node, DictConfig)
    alone: pl.Trainer = build(node, logger=False, enable_checkpointing=False, **quiet)
    return alone
