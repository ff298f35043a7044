"""The measurements behind an advice, from top to bottom: two trunks, their features, and what
they say. Nothing is trained but probes, and the test split is not looked at.
"""

import copy
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import numpy as np
import pytorch_lightning as pl
import torch
from annotated_types import Ge, Gt, Lt
from omegaconf import DictConfig

from regraft import embedded, scores
from regraft.advice import frechet, similarity, size
from regraft.advice.frechet import Distance
from regraft.advice.placement import Placement, Thresholds, place
from regraft.advice.similarity import Similarity
from regraft.advice.size import Size
from regraft.backbone import Backbone
from regraft.collect import QUIET
from regraft.config import build, build_once
from regraft.curve import MIN_REPLICATES, MIN_SIZES
from regraft.data import subset
from regraft.data.formats import is_image
from regraft.data.images import Images, SplitName, Watch
from regraft.data.sources import Source, Split
from regraft.data.white import measured
from regraft.depth import Depths, depths
from regraft.errors import RegraftError
from regraft.features import Caching
from regraft.forecast import Forecast, forecast
from regraft.plan import Fraction, Strategy
from regraft.weights import Weights

FEWEST = 100  # images of a source domain


@dataclass(frozen=True, kw_only=True)
class Auto(Strategy):
    """The strategy `auto`: where the table's lines are drawn, and how much is measured.

    `source` is a folder with images of what the weights were trained on, if there is one.
    """

    similar_from: Fraction
    far_from: Annotated[float, Gt(0)]
    small_gain: Fraction
    small_per_class: Annotated[int, Ge(1)]
    target_acc: Annotated[float, Gt(0), Lt(1)]
    sizes: Annotated[int, Ge(MIN_SIZES)]
    replicates: Annotated[int, Ge(MIN_REPLICATES)]
    max_images: Annotated[int, Ge(100)]
    min_steps: Annotated[int, Ge(0)]
    source: str | None = None

    @property
    def lines(self) -> Thresholds:
        return Thresholds(self.similar_from, self.small_gain, self.small_per_class)


@dataclass(frozen=True)
class Evidence:
    """What was measured of a data set and a backbone."""

    data: str
    backbone: str
    sizes: dict[str, int]  # images by split
    similarity: Similarity | None
    no_similarity_because: str
    size: Size
    distance: Distance | None
    no_distance_because: str
    forecast: Forecast | None
    placement: Placement
    seconds: float
    images_forwarded: int


def measure(cfg: DictConfig, auto: Auto, watch: Watch) -> Evidence:
    """Everything that an advice rests on.

    Raises RegraftError for what the job itself would refuse, for a class of one image, and for
    features that say nothing.
    """
    if cfg.get("pretrain") is not None:
        raise RegraftError(
            "strategy=auto measures the weights that there are, and pretrain= has yet to make "
            "them: choose a strategy for that, then advise with "
            "backbone.weights=<run>/pretrained.safetensors"
        )
    started = time.perf_counter()
    pl.seed_everything(cfg.seed, workers=True, verbose=False)
    whole = build(cfg.data, cfg.seed)
    pretrained, weights = pretrained_trunk(cfg)
    random = random_trunk(cfg)
    some = at_most(whole, auto.max_images)
    images = images_for(cfg, some, random)
    if not images.sizes["val"]:
        raise RegraftError(
            "the advice is measured on validation images, and there are none; set "
            "data.val_fraction=0.15, or choose a strategy"
        )
    labels, val_labels = (images.labels(split).numpy() for split in ("train", "val"))
    scores.check_labels(labels)

    last = features_of(cfg, pretrained, images, "train", watch)
    val = features_of(cfg, pretrained, images, "val", watch)
    found, unknown = None, NO_WEIGHTS
    if weights is not None:
        untrained = features_of(cfg, random, images, "train", watch)
        found = similarity.measure(last.by_stage, untrained.by_stage, labels, seed=cfg.seed)
    if found is not None and not found.can_be_told:
        found, unknown = None, EASY
    stage = found.best.stage if found else [*last.by_stage][-1]
    measured = size.measure(
        (last.by_stage[stage], labels),
        (val.by_stage[stage], val_labels),
        images=len(whole.train),
        sizes=auto.sizes,
        replicates=auto.replicates,
        seed=cfg.seed,
    )
    distance, why_not = second_opinion(cfg, auto, pretrained, weights, last.last, watch)
    more = None
    if measured.curve is not None:
        val_images, classes = len(val_labels), measured.classes
        more = forecast(
            measured.points, auto.target_acc, val_images=val_images, num_classes=classes
        )
        if more.gains is None:  # noise, or it falls: what twice the images bring is not known
            measured, more = measured.without_curve(more.words.partition(": ")[2]), None
    if len(some.train) < len(whole.train):
        more = None  # which counts from the images that were measured on
    return Evidence(
        data=whole.name,
        backbone=random.name,
        sizes={name: len(getattr(whole, name)) for name in ("train", "val", "test")},
        similarity=found,
        no_similarity_because="" if found else unknown,
        size=measured,
        distance=distance,
        no_distance_because=why_not,
        forecast=more,
        placement=place(found, measured, auto.lines),
        seconds=time.perf_counter() - started,
        images_forwarded=pretrained.images_forwarded + random.images_forwarded,
    )


NO_WEIGHTS = "backbone.weights=random: there is no source domain to be similar to"
EASY = "random features make hardly an error here, so learned ones have nothing to improve"


def random_trunk(cfg: DictConfig) -> Backbone:
    """The job's backbone as it was made, with random weights."""
    made: Backbone = copy.deepcopy(build_once(cfg.backbone, cfg.seed))
    return made


def pretrained_trunk(cfg: DictConfig) -> tuple[Backbone, Weights | None]:
    """The job's backbone with its pretrained weights; None where it has none."""
    made = random_trunk(cfg)
    return made, made.graft(pretrained=range(len(made.stages)))


def images_for(cfg: DictConfig, source: Source, backbone: Backbone) -> Images:
    """A source's images as the backbone wants to see them, as they are."""
    images: Images = build(cfg.loader, source, backbone.input, None, None)
    return images


def features_of(
    cfg: DictConfig, backbone: Backbone, images: Images, split: SplitName, watch: Watch
) -> Depths:
    """A split's features of every stage, from the cache if it may be used."""
    caching: Caching = build(cfg.features)
    store = None if caching.use == "off" else caching.store
    return depths(backbone, images, split, store, watch, device_of(cfg))


def device_of(cfg: DictConfig) -> torch.device:
    """Where the trainer would compute; of several devices the first."""
    if cfg.trainer.accelerator == "cpu":
        return torch.device("cpu")
    trainer = build(cfg.trainer, **{**QUIET, "devices": 1, "strategy": "auto"})
    device: torch.device = trainer.strategy.root_device
    return device


def at_most(source: Source, most: int) -> Source:
    """The source with at most about so many images in each split.

    Classes keep their shares, and each at least two images.
    """

    def part(split: Split) -> Split:
        return split.take(subset.some(split.labels, most)) if len(split) > most else split

    train, val, test = map(part, (source.train, source.val, source.test))
    return replace(source, train=train, val=val, test=test)


def second_opinion(
    cfg: DictConfig,
    auto: Auto,
    pretrained: Backbone,
    weights: Weights | None,
    features: np.ndarray,
    watch: Watch,
) -> tuple[Distance | None, str]:
    """The distance to the source domain, if anything is known of it; else why there is none."""
    if weights is None:
        return None, NO_WEIGHTS
    if auto.source is not None:
        files = loose_images(Path(auto.source))
        images = images_for(cfg, at_most(files, auto.max_images), pretrained)
        source = frechet.reference(features_of(cfg, pretrained, images, "train", watch).last)
        return frechet.distance(source, features), ""
    if (shipped := embedded.source_statistics(weights.sha256)) is None:
        return None, "nothing is known of the images of these weights; strategy.source=<folder>"
    return frechet.distance(frechet.Reference(*shipped), features), ""


def loose_images(folder: Path) -> Source:
    """All images below a folder, whatever they show.

    Raises RegraftError if there are too few for their statistics.
    """
    found = sorted(filter(is_image, folder.rglob("*")))
    if len(found) < FEWEST:
        raise RegraftError(
            f"strategy.source={folder}: {len(found)} images lie there; the source domain's "
            f"statistics need at least {FEWEST}"
        )
    names = tuple(str(path.relative_to(folder)) for path in found)
    split = Split(tuple(found), np.zeros(len(found), dtype=np.int64), names)
    white = measured(found, "auto")
    return Source(str(folder), ("source",), split, split, split, white=white)
