"""One job, from a config to a result, top to bottom. The file to read first."""

import copy
import logging
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from typing import Any

import pytorch_lightning as pl
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.callbacks import (
    Checkpoint,
    LearningRateMonitor,
    ModelCheckpoint,
)
from rich.console import Console

from regraft import (
    auto,
    checkpoints,
    collect,
    devices,
    earlier,
    expected,
    features,
    limits,
    lr_range,
    memory,
    monitors,
    optim,
    outputs,
    probe,
    summary,
    tracking,
    verdict,
)
from regraft.checkpoint_io import WholeCheckpoints, save
from regraft.classifier import Classifier, read_best, stack
from regraft.collect import Collect
from regraft.config import build, build_once, check, factory, resolved
from regraft.data.images import Images, SplitName
from regraft.divergence import Divergence
from regraft.errors import RegraftError
from regraft.figures.fonts import asked_first
from regraft.head import made_by
from regraft.length import with_enough_steps
from regraft.logger import made
from regraft.masking import masked
from regraft.paths import write_whole
from regraft.plan import drop_unread, graft
from regraft.pretrain import phase as pretraining
from regraft.probe import Probe
from regraft.progress import Bar, History, watched
from regraft.weights import Weights, label

log = logging.getLogger(__name__)

# What Lightning says about a frozen trunk, a small data set or a short run is meant to be so.
EXPECTED = (
    ".*in eval mode at the start of training.*",
    ".*does not have many workers.*",
    ".*You defined a `validation_step` but have no `val_dataloader`.*",
    ".*The number of training batches.*",
    ".*could not find the monitored key.*",  # where nothing is validated, which is said
    ".*Checkpoint directory .* exists and is not empty.*",
    ".*LeafSpec.*",
    ".*your dataloader is not resumable.*",  # to Lightning; see streams.py
    ".*lr_scheduler.step.*before.*optimizer.step.*",
    ".*ReduceLROnPlateau conditioned on metric.*",  # of trainings that are not validated: collect
)


def run(cfg: DictConfig) -> float:
    """Run one job and return its validation accuracy, NaN without validation images.

    What it finds out goes into the run's folder, also when it fails (see tracking.py).
    Raises RegraftError for what the user can put right.
    """
    console = Console()
    cfg = auto.as_decided(cfg)
    if (known := earlier.finished(cfg)) is not None:
        return known
    with tracking.recording(cfg) as record:
        check(cfg)
        record.add(cost=expected.cost(cfg))
        cfg = auto.decide(cfg, record, console)
        logger = made(cfg.logger, record)
        config = OmegaConf.to_yaml(masked(resolved(cfg)))
        write_whole(record.job.folder / earlier.CONFIG, config.encode())
        font = build(cfg.figures).font
        record.add(figures={"font": font})
        with asked_first(font):
            # Once, unless a batch does not fit into memory and a smaller one is allowed.
            memory.until_it_fits(cfg, record, partial(attempt, record, logger, console))
        auto.judge_floors(cfg, record, console)
    if not record.result["metrics"]:
        return float("nan")  # one of several devices' processes, of which the first has judged
    summary.show_result(console, record)
    return float(record.result["metrics"].get("val/acc", "nan"))


def attempt(record: tracking.Record, logger: Any, console: Console, cfg: DictConfig) -> None:
    """The job itself, from a config that has been checked to a result that is written."""
    folder = record.job.folder
    pl.seed_everything(cfg.seed, workers=True, verbose=False)

    # What there is: a network in stages, and images brought to the size it wants to see.
    strategy = build(cfg.strategy)
    backbone = copy.deepcopy(build_once(cfg.backbone, cfg.seed))
    # Once more, as if the backbone had been built here, or had not.
    pl.seed_everything(cfg.seed, workers=True, verbose=False)
    source = build(cfg.data, cfg.seed)
    augment, balance = build(cfg.augment), build(cfg.balance)
    images: Images = build(cfg.loader, source, backbone.input, augment, balance)
    record.backbone = backbone  # it counts
    record.add(backbone=backbone.name, input=asdict(images.input))
    record.add(strategy={"quadrant": strategy.quadrant})
    record.add(data={"name": source.name, "classes": images.num_classes, **images.sizes})
    record.add(data={"listing": images.listing})
    record.add(data=source.said())
    outputs.write_skipped(record, source)

    # What is to happen to each stage, decided before any training.
    plan = build(cfg.freeze, len(backbone.stages), images.sizes["train"])
    # Plenty of images but few labels: weights that are learned before, without them.
    pretraining.first(cfg, backbone, plan, record, console)
    weights = graft(plan, backbone)
    record.call_it(backbone=label(backbone.name, backbone.weights, weights), data=source.name)
    facts = backbone.out_features, backbone.map_shape, images.num_classes
    make_head = partial(made_by, factory(cfg.head, *facts))
    head = make_head()
    plan = drop_unread(plan, backbone, head.takes)
    make_optimizer = factory(cfg.optimizer)
    ratios = optim.ratios_of(make_optimizer(backbone, plan, head), backbone)
    history = History(folder / "metrics.csv")
    watching = [Bar(console), history, Divergence(images.names["train"])]
    cfg = with_enough_steps(cfg, images.sizes["train"])
    trainer = make_trainer(cfg, logger, watching)
    devices.refuse_what_cannot_be_shared(trainer, plan, images)
    limits.refuse_empty(trainer, images, searching=record.job.searching)
    collect.refuse_without_val(strategy, images)
    record.add(machine=tracking.machine(trainer.strategy.root_device))

    # What frozen stages give for an image never changes: it can be computed once.
    caching = build(cfg.features)
    once = features.decide(caching, plan, backbone, head, images, trainer.world_size)
    record.add(plan=plan.rows(backbone, ratios, cached=once.stages))
    record.add(features=once.reason, weights=describe(weights))
    summary.show_plan(console, record, backbone.input)
    if weights is None and plan.indices("keep", "tune"):
        log.warning("the weights are random, so nothing that was learned is kept or tuned")
    watch = partial(watched, console)
    once, computed = features.compute(caching, once, backbone, images, trainer, watch)
    record.add(plan=plan.rows(backbone, ratios, cached=once.stages), features=once.reason)
    collect.refuse_unless_cached(strategy, plan, once.reason, computed)
    if isinstance(strategy, Probe):
        found = probe.answer(strategy, backbone, images, computed, once.reason, folder)
        record.add(scores=found)

    # Train, on what was computed once or on the images.
    classifier = Classifier(
        backbone,
        plan,
        head,
        make_optimizer,
        factory(cfg.scheduler),
        images.classes,
        cut=once.cut if computed else None,
        class_weights=balance.of_loss(images.labels("train"), images.num_classes),
        card={
            "run": record.result["id"],
            "config": masked(resolved(cfg)),
            "input": vars(images.input),
        },
    )
    data = computed.data if computed else images
    if computed is None:
        images.keep_decoded(caching.store, watch)
    if lr_range.wanted(cfg):
        classifier.make_optimizer = lr_range.found(record, cfg, classifier, data)
    if cfg.compile:
        classifier.compile(mode=cfg.compile)
    last, spent = checkpoints.left_by_earlier(trainer, classifier, record)
    started = time.perf_counter() - spent
    with keeping_best(trainer, classifier, record):
        trainer.fit(classifier, datamodule=data, ckpt_path=last, weights_only=True)
    unjudged = checkpoints.keep_last_as_best(trainer)
    record.add(trial=checkpoints.is_trial(trainer))
    if not trainer.is_global_zero:
        return  # the first process judges and records
    record.add(cost=cost(trainer, classifier, time.perf_counter() - started))
    record.add(cost=features.cost(computed, history.rows))

    # Judge the best weights: chosen on the validation split, tested once.
    with best_weights(trainer, classifier, record) as card:
        judge = devices.judge(cfg, trainer)
        said = by_split(images.judged, judge.predict(classifier, datamodule=data) or [])
        wanted = build(cfg.calibration)
        calibration = verdict.judge(record, wanted, said.get("val"), said.get("test"))
        card["calibration"] = vars(calibration)
    if unjudged:
        log.warning("nothing was validated during the training: best.ckpt has its last weights")
        record.add(best_epoch=None)
    record.add(cost=record.spent())
    if isinstance(strategy, Collect) and computed:
        found = collect.answer(strategy, classifier, computed.data, make_head, cfg)
        record.add(forecast=found)
    outputs.write(record, images, said, calibration)


def by_split(splits: Sequence[SplitName], predictions: list[Any]) -> outputs.Said:
    """Of each split what was predicted in batches; Lightning puts no list around a single one."""
    of_each = predictions if len(splits) > 1 else [predictions]
    return dict(zip(splits, map(stack, of_each), strict=True))


def describe(weights: Weights | None) -> dict[str, str | None] | None:
    """Where the pretrained weights came from; None where none were used."""
    if weights is None:
        return None
    return {key: getattr(weights, key) for key in ("source", "sha256", "license", "method")}


def make_trainer(cfg: DictConfig, logger: Any, callbacks: list[pl.Callback]) -> pl.Trainer:
    """Lightning's trainer with what the config asks for and what every run has."""
    for message in EXPECTED:
        warnings.filterwarnings("ignore", message)
    named = {name: build_callback(node) for name, node in cfg.callbacks.items() if node is not None}
    monitors.refuse(named.items())
    callbacks += map(refuse_several_best, named.values())
    if logger is not None:
        callbacks.append(LearningRateMonitor())
    callbacks.append(devices.OwnDraws())
    ours = {
        "logger": logger or False,
        "callbacks": callbacks,
        "default_root_dir": cfg.output_dir,
        "enable_checkpointing": any(isinstance(c, Checkpoint) for c in callbacks),
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "use_distributed_sampler": False,  # data/share.py shares out, and each validates all
        "plugins": [WholeCheckpoints(), *devices.plugins()],
    }
    every, epochs = cfg.trainer.check_val_every_n_epoch, cfg.trainer.max_epochs
    # The last epoch is validated in any case: it may be the best.
    ours["check_val_every_n_epoch"] = max(n for n in range(1, every + 1) if epochs % n == 0)
    try:
        trainer: pl.Trainer = build(cfg.trainer, **ours)
    except RegraftError:
        refuse_absent_accelerator(cfg.trainer.accelerator)
        raise
    devices.refuse_in_a_sweep(cfg, trainer)
    lr_range.refuse_on_several(cfg, trainer)
    return trainer


def refuse_absent_accelerator(name: str) -> None:
    """Raises RegraftError for an accelerator that is not there, or that there is not at all."""
    try:
        pl.Trainer(accelerator=name, devices=1, logger=False, enable_checkpointing=False)
    except Exception as error:
        raise RegraftError(
            f"trainer.accelerator={name}: {error}; leave it out or use cpu"
        ) from error


def build_callback(node: DictConfig) -> pl.Callback:
    """A callback of the config; a checkpoint by a metric of training waits for its end."""
    callback: pl.Callback = build(node)
    if isinstance(callback, ModelCheckpoint) and monitors.at_training_end(callback.monitor):
        callback = build(node, save_on_train_epoch_end=True)
    return callback


def refuse_several_best(callback: pl.Callback) -> pl.Callback:
    """The callback; raises RegraftError for a checkpoint that keeps more than one."""
    if isinstance(callback, ModelCheckpoint) and callback.save_top_k != 1:
        raise RegraftError(
            "callbacks.checkpoint.save_top_k: the best and the last are kept, and judged is one"
        )
    return callback


def cost(trainer: pl.Trainer, classifier: Classifier, fit_s: float) -> dict[str, Any]:
    """What the training took: seconds, devices and parameters."""
    trained = {id(p) for group in trainer.optimizers[0].param_groups for p in group["params"]}
    parameters = [p for part in (classifier.backbone, classifier.head) for p in part.parameters()]
    return {
        "fit_s": round(fit_s, 3),
        "devices": trainer.world_size,
        "params_total": sum(p.numel() for p in parameters),
        "params_trained": sum(p.numel() for p in parameters if id(p) in trained),
    }


@contextmanager
def keeping_best(
    trainer: pl.Trainer, classifier: Classifier, record: tracking.Record
) -> Iterator[None]:
    """If the training fails, what was best until then is completed and stays in the result."""
    try:
        yield
    except Exception:
        try:
            with best_weights(trainer, classifier, record):
                pass
        except Exception:  # a full disk perhaps: why the training failed is what is said
            log.info("the best checkpoint could not be completed", exc_info=True)
        raise


@contextmanager
def best_weights(
    trainer: pl.Trainer, classifier: Classifier, record: tracking.Record
) -> Iterator[dict[str, Any]]:
    """Put the best epoch's weights back; at the end their checkpoint is made whole and recorded.

    What is judged meanwhile goes into the checkpoint with the card that this gives. Without a
    checkpoint, the weights stay those of the last epoch.
    """
    best = read_best(trainer, classifier)
    if best is None:
        yield {}
        return
    path, checkpoint = best
    classifier.load_state_dict(checkpoint["state_dict"])
    try:
        yield checkpoint["regraft"]
    finally:
        save(checkpoint, path)
        relative = str(path).removeprefix(f"{record.job.folder}/")
        record.add(checkpoint=relative, best_epoch=checkpoint["epoch"])
