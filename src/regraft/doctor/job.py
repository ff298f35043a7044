"""The parts of a job, built of the same pieces as in experiment.py and in the same order."""

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from omegaconf import DictConfig
from torch import Tensor, nn

from regraft import collect, devices, features
from regraft.backbone import Backbone
from regraft.classifier import OptimizerFactory, SchedulerFactory
from regraft.config import build, check, factory
from regraft.data.images import Images
from regraft.doctor.pretrained import Pretrained, find
from regraft.experiment import make_trainer
from regraft.features import Caching, Decision
from regraft.head import Head, as_head
from regraft.plan import Plan, drop_unread, graft
from regraft.pretrain.phase import refuse


@dataclass(frozen=True)
class Job:
    """What would be trained, on what; nothing of it has been written anywhere."""

    cfg: DictConfig
    outputs: Path  # where runs would be written
    strategy: Any
    images: Images
    backbone: Backbone
    plan: Plan
    pretrained: Pretrained | None  # None if no stage wants pretrained weights
    head: Head
    make_optimizer: OptimizerFactory
    make_scheduler: SchedulerFactory
    class_weights: Tensor | None
    trainer: pl.Trainer
    caching: Caching
    once: Decision

    def trained(self) -> int:
        """How many parameters are trained at some time."""
        stages = self.plan.indices("tune", "reset")
        return _count(self.head) + sum(self.backbone.stages[index].parameters for index in stages)

    def parameters(self) -> int:
        """How many there are; of dropped stages none."""
        return _count(self.head) + _count(self.backbone)


def assemble(cfg: DictConfig, outputs: Path) -> Job:
    """Build a job's parts up to the point where images would be read.

    Files that cannot be read are still among them, and weights that are not on this machine are
    left random: whoever looks at the job says so. Raises RegraftError as the job itself would.
    """
    check(cfg)
    pl.seed_everything(cfg.seed, workers=True, verbose=False)
    strategy = build(cfg.strategy)
    backbone: Backbone = build(cfg.backbone)
    source = build(_as_it_lies(cfg.data), cfg.seed)
    balance = build(cfg.balance)
    images: Images = build(cfg.loader, source, backbone.input, build(cfg.augment), balance)
    plan: Plan = build(cfg.freeze, len(backbone.stages), images.sizes["train"])
    if cfg.get("pretrain") is not None:
        refuse(build(cfg.pretrain), backbone, plan)
        backbone.weights = "random"  # those that it starts from, and that are yet to be learned
    pretrained = find(backbone) if plan.indices("keep", "tune") else None
    if pretrained and not pretrained.here:
        backbone.weights = "random"
    graft(plan, backbone)
    facts = backbone.out_features, backbone.map_shape, images.num_classes
    head = as_head(build(cfg.head, *facts))
    plan = drop_unread(plan, backbone, head.takes)
    trainer = make_trainer(cfg, None, [])
    caching = build(cfg.features)
    devices.refuse_what_cannot_be_shared(trainer, plan, images)
    once = features.decide(caching, plan, backbone, head, images, trainer.world_size)
    collect.refuse_without_val(strategy, images)
    collect.refuse_unless_cached(strategy, plan, once.reason, once.cut)
    return Job(
        cfg,
        outputs,
        strategy,
        images,
        backbone,
        plan,
        pretrained,
        head,
        factory(cfg.optimizer),
        factory(cfg.scheduler),
        balance.of_loss(images.labels("train"), images.num_classes),
        trainer,
        caching,
        once,
    )


def _as_it_lies(data: DictConfig) -> DictConfig:
    """The same data with bad files in it, and not downloaded: both would take too long here."""
    data = copy.deepcopy(data)
    for key, value in {"on_error": "fail", "download": False}.items():
        if key in data:
            data[key] = value
    return data


def _count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
