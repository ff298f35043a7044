"""A finished run's parts, built again from its config.yaml: the features of its frozen trunk."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytorch_lightning as pl
import yaml
from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from regraft import features
from regraft.batches import Features
from regraft.classifier import Classifier
from regraft.config import build, check, factory
from regraft.data.images import Images
from regraft.earlier import CONFIG
from regraft.errors import RegraftError
from regraft.head import Head, made_by
from regraft.masking import MASK
from regraft.paths import shown
from regraft.plan import drop_unread, graft
from regraft.progress import watched
from regraft.weights import MADE


class Frozen(NamedTuple):
    """What a learning curve is measured with."""

    classifier: Classifier
    data: Features
    make_head: Callable[[], Head]


INSTEAD = "train again with strategy=collect, which forecasts as it trains"


def config_of(folder: Path, *, instead: str = INSTEAD) -> DictConfig:
    """A run's config as it was resolved, checked like that of a new job.

    Raises RegraftError for one that cannot be read, holds what is not trusted, or a masked secret,
    and says what to do `instead`.
    """
    path = folder / CONFIG
    try:
        cfg = OmegaConf.load(path)
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise RegraftError(f"{shown(path)} cannot be read, so the run is not known") from error
    if not isinstance(cfg, DictConfig) or not {"data", "backbone", "trainer"} <= {*map(str, cfg)}:
        raise RegraftError(f"{shown(path)} is no config of a run")
    for key in ("data", "backbone"):
        if MASK in OmegaConf.to_yaml(cfg[key]):
            raise RegraftError(
                f"{shown(path)}: {key} holds a secret that was not written down; {instead}"
            )
    check(cfg)
    cfg.output_dir = str(folder)
    return cfg


def frozen(cfg: DictConfig, listing: Any, console: Console, quiet: dict[str, Any]) -> Frozen:
    """The features of a run, from the cache or computed again, and what trains a head on them.

    Raises RegraftError if they cannot be computed once, and if the images are not those of which
    the run's result has the `listing`.
    """
    pl.seed_everything(cfg.seed, workers=True, verbose=False)
    backbone = build(cfg.backbone)
    if cfg.get("pretrain") is not None:
        backbone.weights = str((Path(cfg.output_dir) / MADE).absolute())
        backbone.weights_key = None
    pl.seed_everything(cfg.seed, workers=True, verbose=False)
    source = build(cfg.data, cfg.seed)
    augment, balance = build(cfg.augment), build(cfg.balance)
    images: Images = build(cfg.loader, source, backbone.input, augment, balance)
    if listing is not None and images.listing != listing:
        raise RegraftError(
            "the images are no longer those that the run was trained on: train again, with "
            "strategy=collect"
        )
    plan = build(cfg.freeze, len(backbone.stages), images.sizes["train"])
    graft(plan, backbone)
    facts = backbone.out_features, backbone.map_shape, images.num_classes
    make_head = partial(made_by, factory(cfg.head, *facts))
    head = make_head()
    plan = drop_unread(plan, backbone, head.takes)
    trainer = build(cfg.trainer, devices=1, **quiet)
    caching = build(cfg.features, use="auto")  # also of a run that did without
    once = features.decide(caching, plan, backbone, head, images)
    once, computed = features.compute(
        caching, once, backbone, images, trainer, partial(watched, console)
    )
    if computed is None:
        raise RegraftError(
            f"a learning curve needs features that are computed once, which they are not: "
            f"{once.reason}"
        )
    classifier = Classifier(
        backbone,
        plan,
        head,
        factory(cfg.optimizer),
        factory(cfg.scheduler),
        images.classes,
        cut=once.cut,
    )
    return Frozen(classifier, computed.data, make_head)
