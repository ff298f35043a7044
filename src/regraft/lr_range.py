"""`optimizer.lr=auto`: a learning rate range test (Smith 2017), on a copy of what will be trained.

The copy takes a hundred steps at rates that rise from far too low to far too high. Where its loss
is halfway down is the rate: docs/learning-rate.md has what other rules gave.
"""

import copy
import csv
import io
import time
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import wandb
from omegaconf import DictConfig, OmegaConf
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler

from regraft import devices, streams
from regraft.classifier import Classifier, OptimizerFactory
from regraft.collect import QUIET
from regraft.config import build
from regraft.errors import RegraftError
from regraft.figures import lr_range as figure
from regraft.paths import write_whole
from regraft.tracking import Record

STEPS = 100
LOWEST, HIGHEST = 1e-6, 10.0  # rates of the head; those of the stages keep their ratios to it
SMOOTHING = 0.95  # of the loss: the weight of all steps before
FIRST = 10  # steps at rates below 1e-5, at which nothing is learned: where the loss starts
BROKEN = 1.25  # times that, the smoothed loss has broken and the test ends
FLAT = 0.05  # of that, the loss has to fall at least
FILE = "lr_range.csv"
RULE = "halfway"
INSTEAD = "give optimizer.lr a number (conf/optimizer/ has one for each)"


@dataclass(frozen=True)
class Curve:
    """What a range test has measured: rates (steps,) of the head and losses (steps,)."""

    rates: np.ndarray
    losses: np.ndarray

    @cached_property
    def smooth(self) -> np.ndarray:
        """Exponential mean of the losses, corrected for having begun with nothing."""
        means = np.empty(len(self.losses))
        mean = 0.0
        for step, loss in enumerate(self.losses, start=1):
            mean = SMOOTHING * mean + (1 - SMOOTHING) * loss
            means[step - 1] = mean / (1 - SMOOTHING**step)
        return means

    @property
    def start(self) -> float:
        first = self.losses[:FIRST]
        return float(first.mean(where=np.isfinite(first)))

    @property
    def lowest(self) -> float:
        later = self.smooth[min(FIRST, len(self.smooth)) - 1 :]
        return float(later.min(where=np.isfinite(later), initial=np.inf))

    @property
    def broke_at(self) -> float | None:
        """The rate at which the loss rose far above its start; None if it never did."""
        last = self.smooth[-1]
        broken = not np.isfinite(last) or last > BROKEN * self.start
        return float(self.rates[-1]) if broken else None

    def rate(self) -> float:
        """Where the smoothed loss is halfway from its start to its lowest, in two digits.

        Raises RegraftError if it never falls.
        """
        if not np.isfinite(self.losses[0]):
            raise RegraftError(
                "optimizer.lr=auto: the loss is no number before anything is learned, so no rate "
                f"will do; {INSTEAD}, and the training will say why"
            )
        fall = self.start - self.lowest
        if not fall >= FLAT * self.start:
            rose = f", and breaks at {self.broke_at:.2g}" if self.broke_at else ""
            raise RegraftError(
                f"optimizer.lr=auto: the loss stays at {self.start:.3g} at all rates from "
                f"{self.rates[0]:.0e} to {self.rates[-1]:.2g}{rose}: nothing is learned; {INSTEAD}"
            )
        halfway = np.argmax(self.smooth <= self.start - fall / 2)
        return float(f"{self.rates[halfway]:.1e}")

    def as_csv(self) -> bytes:
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["lr", "loss", "smoothed"])
        columns = self.rates, self.losses, self.smooth
        writer.writerows([f"{number:.6g}" for number in row] for row in zip(*columns, strict=True))
        return text.getvalue().encode()


def wanted(cfg: DictConfig) -> bool:
    """Whether the learning rate is to be found."""
    return bool(OmegaConf.select(cfg, "optimizer.lr") == "auto")


def refuse_on_several(cfg: DictConfig, trainer: pl.Trainer) -> None:
    """Raises RegraftError for a job on several devices: each would find a rate of its own."""
    if wanted(cfg) and trainer.world_size > 1:
        raise RegraftError(
            "optimizer.lr=auto: the range test runs on one device; find the rate with "
            "trainer.devices=1, then give it here as a number"
        )


def found(
    record: Record, cfg: DictConfig, classifier: Classifier, data: pl.LightningDataModule
) -> OptimizerFactory:
    """What makes the classifier's optimizer, at the rate that a range test on `data` has found.

    A run that goes on has its rate already. The curve goes into the run's folder, also where it
    says nothing: RegraftError is raised then.
    """
    make: Any = classifier.make_optimizer
    if known := record.result["lr_range"]:
        print(f"learning rate {known['rate']:g}, which the range test found before", flush=True)
        return partial(make, lr=known["rate"])
    started, folder = time.perf_counter(), record.job.folder
    curve = measure(cfg, classifier, data)
    write_whole(folder / FILE, curve.as_csv())
    rate = curve.rate()
    figure.draw(curve.rates, curve.losses, curve.smooth, folder / figure.NAME, rate=rate)
    spent = round(time.perf_counter() - started, 3)
    said = f"learning rate {rate:g} (optimizer.lr=auto): {reason(curve)}; {figure.NAME}"
    print(said, flush=True)
    made = {"rate": rate, "rule": RULE, "reason": reason(curve), "curve": FILE, "seconds": spent}
    record.add(lr_range=made)
    record.write()  # who goes on with a job that is killed does not test again
    _tell(record, folder / figure.NAME)
    return partial(make, lr=rate)


def reason(curve: Curve) -> str:
    """Why this rate, and how far it is from the edge."""
    edge = f"broke at {curve.broke_at:.2g}" if curve.broke_at else f"never broke up to {HIGHEST:g}"
    fall = f"halfway down from {curve.start:.3g} to {curve.lowest:.2g}"
    return f"there the smoothed loss was {fall}; it {edge}"


def measure(cfg: DictConfig, classifier: Classifier, data: pl.LightningDataModule) -> Curve:
    """Train a copy of the classifier, at rising rates, on the batches that the run begins with.

    With the run's loss, precision, device and clipping; stages that start later stay as they are.
    Neither the classifier nor the data nor a random stream is changed.
    """
    trial, batches = copy.deepcopy(classifier), copy.copy(data)
    trial.plan = replace(trial.plan, starts=tuple(float(start > 0) for start in trial.plan.starts))
    trial.make_scheduler = rising
    watch, before = _Watch(), streams.states()
    # Small data sets are gone through again and again.
    steps = {"max_epochs": -1, "max_steps": STEPS, "limit_val_batches": 0, "fast_dev_run": False}
    try:
        trainer: pl.Trainer = build(
            cfg.trainer, callbacks=[watch], plugins=devices.plugins(), **{**QUIET, **steps}
        )
        trainer.fit(trial, datamodule=batches)
    finally:
        streams.restore(before)
    return Curve(np.array(watch.rates), np.array(watch.losses))


def rising(optimizer: Optimizer, steps: int) -> LRScheduler:
    """From the lowest rate to the highest, by the same factor at each step; ratios are kept."""
    top = max(group["lr"] for group in optimizer.param_groups)
    growth = (HIGHEST / LOWEST) ** (1 / max(1, steps - 1))
    return LambdaLR(optimizer, lambda step: LOWEST * growth**step / top)


class _Watch(pl.Callback):
    """Notes rate and loss of each step, and ends the test once the loss has broken."""

    def __init__(self) -> None:
        self.rates: list[float] = []
        self.losses: list[float] = []
        self.rate = self.loss = 0.0  # of the step that is being taken

    def on_train_batch_start(self, trainer: pl.Trainer, *_: Any) -> None:
        self.rate = max(group["lr"] for group in trainer.optimizers[0].param_groups)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, *_: Any
    ) -> None:
        self.loss += float(outputs["loss"])  # a batch's part in its step's
        if trainer.global_step == len(self.losses):
            return  # the step takes further batches
        self.rates.append(self.rate)
        self.losses.append(self.loss)
        self.loss = 0.0
        if Curve(np.array(self.rates), np.array(self.losses)).broke_at:
            trainer.should_stop = True


def _tell(record: Record, picture: Path) -> None:
    """Rate and picture for the W&B run."""
    told = {"lr_range": record.result["lr_range"]}
    record.tell(lambda run: run.config.update(told, allow_val_change=True))
    record.tell(lambda run: run.log({"lr_range": wandb.Image(str(picture))}))
