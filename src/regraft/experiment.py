"""One job, from a config to a result, top to bottom. The file to read first."""

import signal
import time
import warnings
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.callbacks import LearningRateMonitor, ModelCheckpoint
from rich.console import Console

from regraft import collect, features, optim, outputs, summary, tracking
from regraft.classifier import Classifier, stack
from regraft.collect import Collect
from regraft.config import build, check, factory, resolved
from regraft.data.images import Images
from regraft.features import Features
from regraft.plan import graft
from regraft.progress import Bar, History
from regraft.weights import Weights

# What Lightning says about a frozen trunk, a small data set or a short run is meant to be so.
EXPECTED = (
    ".*in eval mode at the start of training.*",
    ".*does not have many workers.*",
    ".*You defined a `validation_step` but have no `val_dataloader`.*",
    ".*The number of training batches.*",
    ".*Checkpoint directory .* exists and is not empty.*",
    ".*LeafSpec.*",
    ".*lr_scheduler.step.*before.*optimizer.step.*",
)


def run(cfg: DictConfig) -> float:
    """Run one job and return its validation accuracy.

    What it finds out goes into the run's folder, also when it fails (see tracking.py).
    Raises RegraftError for what the user can put right.
    """
    console = Console()
    with tracking.recording(cfg) as record:
        logger = build(cfg.logger, record)
        check(cfg)
        folder = record.job.folder
        OmegaConf.save(cfg, folder / "config.yaml", resolve=True)
        pl.seed_everything(cfg.seed, workers=True, verbose=False)

        # What there is: a network in stages, and images brought to the size it wants to see.
        strategy = build(cfg.strategy)
        backbone = build(cfg.backbone)
        source = build(cfg.data, cfg.seed)
        images: Images = build(cfg.loader, source, backbone.input)
        record.call_it(backbone=backbone.name, data=source.name)
        record.add(strategy={"quadrant": strategy.quadrant})
        record.add(data={"name": source.name, "classes": images.num_classes, **images.sizes})

        # What is to happen to each stage, decided before any training.
        plan = build(cfg.freeze, len(backbone.stages), images.sizes["train"])
        weights = graft(plan, backbone)
        make_head = factory(cfg.head, backbone.out_features, backbone.map_shape, images.num_classes)
        head = make_head()
        once = plan.all_kept and features.fit_in_memory(backbone, head, images)
        collect.refuse_unless_cached(strategy, once)
        ratios = optim.ratios(
            plan,
            backbone_ratio=cfg.optimizer.backbone_ratio,
            stage_decay=cfg.optimizer.stage_decay,
        )
        record.add(plan=plan.rows(backbone, ratios, cached=once), weights=describe(weights))
        summary.show_plan(console, record)

        # Train. Where only the head learns, the trunk sees each image once and never again.
        classifier = Classifier(
            backbone,
            plan,
            head,
            factory(cfg.optimizer),
            factory(cfg.scheduler),
            images.classes,
            from_features=once,
            card={"config": resolved(cfg), "input": vars(images.input)},
        )
        history = History(folder / "metrics.csv")
        trainer = make_trainer(cfg, logger, [Bar(console), history])
        started = time.perf_counter()
        data = features.compute(backbone, head, images, trainer) if once else images
        fit(trainer, classifier, data)
        record.add(cost=cost(classifier, time.perf_counter() - started))

        # Judge the best weights: chosen on the validation split, tested once.
        record.add(checkpoint=load_best(trainer, classifier, folder))
        val, test = map(stack, trainer.predict(classifier, datamodule=data) or ())
        record.add(metrics=tracking.metrics("val", *val) | tracking.metrics("test", *test))
        record.add(cost={"images_forwarded": backbone.images_forwarded})
        if isinstance(strategy, Collect) and isinstance(data, Features):
            record.add(forecast=collect.answer(strategy, classifier, data, make_head, cfg))
        outputs.write(record, images, {"val": val, "test": test}, history.rows)
    summary.show_result(console, record)
    return float(record.result["metrics"]["val/acc"])


def describe(weights: Weights | None) -> dict[str, str | None] | None:
    """Where the pretrained weights came from; None where none were used."""
    if weights is None:
        return None
    return {"source": weights.source, "sha256": weights.sha256, "license": weights.license}


def make_trainer(cfg: DictConfig, logger: Any, callbacks: list[pl.Callback]) -> pl.Trainer:
    """Lightning's trainer with what the config asks for and what every run has."""
    for message in EXPECTED:
        warnings.filterwarnings("ignore", message)
    every, epochs = cfg.trainer.check_val_every_n_epoch, cfg.trainer.max_epochs
    callbacks += [build(node) for node in cfg.callbacks.values() if node is not None]
    if logger is not None:
        callbacks.append(LearningRateMonitor())
    return build(
        cfg.trainer,
        logger=logger or False,
        callbacks=callbacks,
        default_root_dir=cfg.output_dir,
        enable_checkpointing=any(isinstance(c, ModelCheckpoint) for c in callbacks),
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        log_every_n_steps=10,
        # A short run is validated too, at its end: else it would have no best epoch.
        check_val_every_n_epoch=min(every, epochs) if epochs > 0 else every,
    )


def fit(trainer: pl.Trainer, classifier: Classifier, data: pl.LightningDataModule) -> None:
    """Train. Ctrl-C, which Lightning turns into an exit with code 1, is an interruption again."""
    try:
        trainer.fit(classifier, datamodule=data)
    except SystemExit as error:
        signal.signal(signal.SIGINT, signal.default_int_handler)  # Lightning left it ignored
        raise KeyboardInterrupt from error


def cost(classifier: Classifier, fit_s: float) -> dict[str, Any]:
    """What the training took: seconds, parameters, and whether features were computed once."""
    trained = {
        id(p) for group in classifier.trainer.optimizers[0].param_groups for p in group["params"]
    }
    parameters = [p for part in (classifier.backbone, classifier.head) for p in part.parameters()]
    return {
        "fit_s": round(fit_s, 3),
        "params_total": sum(p.numel() for p in parameters),
        "params_trained": sum(p.numel() for p in parameters if id(p) in trained),
        "cache": "miss" if classifier.from_features else "off",
    }


def load_best(trainer: pl.Trainer, classifier: Classifier, folder: Path) -> str | None:
    """Put the best epoch's weights back and make their checkpoint whole; its path in the folder."""
    best = getattr(trainer.checkpoint_callback, "best_model_path", "")
    if not best:
        return None
    checkpoint = classifier.complete(torch.load(best, map_location="cpu", weights_only=True))
    classifier.load_state_dict(checkpoint["state_dict"])
    partial = Path(f"{best}.partial")
    torch.save(checkpoint, partial)
    partial.replace(best)
    return str(best).removeprefix(f"{folder}/")
