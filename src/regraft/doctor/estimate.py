"""How long a training takes and how much memory: a few real steps of it, timed."""

import copy
import math
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import pytorch_lightning as pl
import torch
from omegaconf import DictConfig, OmegaConf
from rich.filesize import decimal
from torch import Tensor, nn

from regraft import devices, expected, lr_range
from regraft.batches import Features
from regraft.classifier import Classifier
from regraft.collect import Collect
from regraft.cut import Cut
from regraft.data.images import FittedImages, Images
from regraft.data.sources import Split
from regraft.doctor.findings import Finding, green, many, red, yellow
from regraft.doctor.job import Job
from regraft.doctor.look import Sample
from regraft.experiment import make_trainer
from regraft.features import SPLITS, copies

BUDGET_S = 3.0
STEPS = 30  # at most; the first two are slower and do not count
WARM_UP = 2
TRIES = 5  # of a forward pass
TRIES_S = 0.5  # after which no other one is begun
BATCHES = 2  # of different images, at most
NEARLY_FULL = 0.9  # of a GPU's memory


class Passed(NamedTuple):
    """A forward pass without gradients."""

    seconds: float  # of an image
    given: Tensor
    images: int  # at once
    largest: int  # bytes of each image that a layer takes and gives, the most of all layers


@dataclass(frozen=True)
class Costs:
    """Seconds that the pieces of a training take."""

    forward: float  # one image, without a gradient
    step: float  # one batch of training, without reading it
    batch: int  # images in the batches that were timed, if a whole one takes too long
    kept: int = 0  # bytes of each image that a step keeps for its gradients
    passed: Passed | None = None


def estimate(job: Job, sample: Sample) -> list[Finding]:
    """Time per epoch and of the whole run, and memory; the network is trained a little by that."""
    pixels = [one.fitted for one in sample.seen if one.fitted is not None]
    if not pixels:
        return []
    device = job.trainer.strategy.root_device
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    try:
        costs = _measure(job, torch.stack(pixels))
    except torch.OutOfMemoryError:
        batch = job.images.batch_size
        found = f"a batch of {batch} images does not fit into the memory of {device}"
        fix = f"loader.batch_size={max(1, batch // 2)} trainer.accumulate_grad_batches=2"
        return [red("memory", found, f"{fix}, or trainer=mixed")]
    read = float(np.mean([one.seconds for one in sample.seen]))
    seconds, pieces = _time(job, costs, read)
    expected.keep(job.cfg, seconds)
    return [green("time", pieces), _memory(job, device, costs)]


def _measure(job: Job, pixels: Tensor) -> Costs:
    batch, cut = min(job.images.batch_size, job.images.sizes["train"]), job.once.cut
    # The costliest phase: everything that is ever trained has started.
    plan = replace(job.plan, starts=(0.0,) * len(job.plan.actions))
    job.backbone.freeze(plan.frozen(0.0))
    watch = _Stopwatch()
    trainer = make_trainer(_unwatched(job.cfg), None, [watch])
    passed = _forward(job, cut.prefix if cut else job.backbone, pixels, trainer)
    forward, given = passed.seconds, passed.given
    data: pl.LightningDataModule
    if cut is None:
        used = _affordable(forward, batch)
        data = _only(job.images, _many(pixels, BATCHES * used), used)
    else:
        used = _affordable(_suffix(job, cut, given), batch)
        rows = _many(given, BATCHES * used)
        data = Features({"train": (rows, _labels(job, len(rows)))}, used)
    facts: dict[str, Any] = {"cut": cut, "class_weights": job.class_weights}
    parts = job.backbone.train(), plan, job.head.train(), job.make_optimizer, job.make_scheduler
    trainer.fit(Classifier(*parts, job.images.classes, **facts), datamodule=data)
    return Costs(forward, watch.step * batch / used, used, watch.kept.bytes // used, passed)


def _only(images: Images, pixels: Tensor, batch_size: int) -> Images:
    """The same feeding, with nothing in train but these images, which have been read already."""
    count = len(pixels)
    labels = np.arange(count, dtype=np.int64) % images.num_classes
    nothing = np.empty((count, 0, 0), np.uint8)
    few = FittedImages(Split(nothing, labels, ("",) * count), images.input, hold=False)
    few.kept = pixels
    made = copy.copy(images)
    made.datasets, made.batch_size = {**images.datasets, "train": few}, batch_size
    return made


def _labels(job: Job, count: int) -> Tensor:
    return torch.arange(count) % job.images.num_classes


def _many(rows: Tensor, count: int) -> Tensor:
    """So many rows, again from the first where there are fewer."""
    return rows[torch.arange(max(2, count)) % len(rows)]


def _affordable(seconds: float, batch: int) -> int:
    """How many images a timed batch may have, if one takes so long to be sent through.

    A step of training takes about three times as long.
    """
    steps = WARM_UP + 2
    return max(2, min(batch, int(BUDGET_S / (3 * steps * seconds))))


@torch.no_grad()
def _forward(
    job: Job, through: Callable[[Tensor], Tensor], pixels: Tensor, trainer: pl.Trainer
) -> Passed:
    """Send images through the network, or through the stages that are computed once."""
    device, precision = trainer.strategy.root_device, trainer.precision_plugin
    precision.convert_module(job.backbone.to(device)).eval()

    def give(images: Tensor) -> Tensor:
        with precision.forward_context():
            normal = precision.convert_input(job.images.input.normalize(images.to(device)))
            return through(normal).float().cpu()

    with _watching_layers(job.backbone) as layers:
        spent, _ = _timed(give, _many(pixels, 2))
    count = _affordable(spent, job.images.batch_size)
    return Passed(*_timed(give, _many(pixels, count)), count, max(layers, default=0) // 2)


@contextmanager
def _watching_layers(module: nn.Module) -> Iterator[list[int]]:
    """The bytes that each layer takes and gives, while it is sent something."""
    found: list[int] = []

    def look(_: nn.Module, taken: tuple[Any, ...], given: Any) -> None:
        found.append(sum(one.nbytes for one in (*taken, given) if isinstance(one, Tensor)))

    layers = [layer for layer in module.modules() if next(layer.children(), None) is None]
    hooks = [layer.register_forward_hook(look) for layer in layers]
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()


@torch.no_grad()
def _suffix(job: Job, cut: Cut, given: Tensor) -> float:
    """Seconds that an image takes from the cut on."""
    rows = _many(given, 2).to(next(job.backbone.parameters()))
    through = copy.deepcopy(job.head).eval().to(rows.device)
    return _timed(lambda rows: through(cut.suffix(rows)).cpu(), rows)[0]


def _timed(through: Callable[[Tensor], Tensor], rows: Tensor) -> tuple[float, Tensor]:
    """Seconds for each row, the best of some tries: other programs make the worse ones."""
    tries: list[float] = []
    while len(tries) < TRIES and (sum(tries) < TRIES_S or not tries):
        started = time.perf_counter()
        given = through(rows)
        tries.append(time.perf_counter() - started)
    return min(tries) / len(rows), given


def _unwatched(cfg: DictConfig) -> DictConfig:
    """The same training on one device, which validates and keeps nothing."""
    cfg = copy.deepcopy(cfg)
    cfg.callbacks = {}
    cfg.trainer.limit_train_batches = 1.0
    cfg.trainer.limit_val_batches = 0
    cfg.trainer = OmegaConf.merge(cfg.trainer, devices.ALONE)
    return cfg


class Kept:
    """The bytes that a forward pass keeps for its gradients: activations, no parameters.

    They follow from the plan (frozen stages keep none) and from the precision, and grow with the
    batch.
    """

    def __init__(self) -> None:
        self._storages: dict[int, int] = {}
        self._hooks: Any = None

    @property
    def bytes(self) -> int:
        return sum(self._storages.values())

    def begin(self, module: nn.Module) -> None:
        """Look on from here."""
        tensors = [*module.parameters(), *module.buffers()]
        own = {tensor.untyped_storage().data_ptr() for tensor in tensors}

        def look(tensor: Tensor) -> Tensor:
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in own:
                self._storages[storage.data_ptr()] = storage.nbytes()
            return tensor

        self._hooks = torch.autograd.graph.saved_tensors_hooks(look, lambda tensor: tensor)
        self._hooks.__enter__()

    def end(self) -> None:
        """Look on no longer."""
        if self._hooks is not None:
            self._hooks.__exit__()
            self._hooks = None


class _Stopwatch(pl.Callback):
    """Notes when each step has ended, and ends the training when that is enough."""

    def __init__(self) -> None:
        self.ends: list[float] = []
        self.kept = Kept()

    def on_train_batch_start(
        self, trainer: pl.Trainer, module: pl.LightningModule, *_: Any
    ) -> None:
        if len(self.ends) == 1:  # the first, whose time does not count
            self.kept.begin(module)

    def on_before_backward(self, *_: Any) -> None:
        self.kept.end()

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        if trainer.strategy.root_device.type == "cuda":
            torch.cuda.synchronize()
        self.ends.append(time.perf_counter())
        late = len(self.ends) > WARM_UP + 1 and self.ends[-1] - self.ends[0] > BUDGET_S
        if late or len(self.ends) > STEPS:
            trainer.should_stop = True

    def on_train_start(self, *_: Any) -> None:
        self.ends = [time.perf_counter()]

    @property
    def step(self) -> float:
        """Seconds per batch."""
        ends = self.ends[min(WARM_UP, len(self.ends) - 2) :]
        return (ends[-1] - ends[0]) / (len(ends) - 1)


def _time(job: Job, costs: Costs, read: float) -> tuple[float, str]:
    """The seconds of a run, and in words with its pieces; `read` is what one image takes."""
    trainer, images = job.cfg.trainer, job.images
    batches = _limited(len(images.loader("train", shuffle=True)), trainer.limit_train_batches)
    epochs, every = trainer.max_epochs, trainer.check_val_every_n_epoch
    everything = sum(images.sizes.values())
    files = not isinstance(images.datasets["train"].split.images, np.ndarray)
    reading = read * everything / max(1, images.workers) if files else 0.0
    epoch, once = batches * costs.step, 0.0
    if job.once.cut is not None:
        forwards = sum(images.sizes[s] * copies(job.caching, images, s) for s in SPLITS)
        once = reading + forwards * costs.forward
        first = f"one pass through frozen stages {_words(once)} (none if it is in the cache)"
    elif files and images.decoded_cache:
        once = reading
        first = f"reading the images once {_words(once)} (none if they are in the cache)"
    else:
        epoch += reading
        first = ""
    judged = images.sizes["val"] * (epochs / every + 1) + images.sizes["test"]
    after = judged * costs.forward if job.once.cut is None else 0.0
    total = once + epochs * epoch + after
    if lr_range.wanted(job.cfg):
        total += lr_range.STEPS * costs.step
    pieces = [first] if first else []
    pieces.append(f"{many(epochs, 'epoch')} of {_words(epoch)} ({batches} × {_words(costs.step)})")
    if costs.batch < min(images.batch_size, images.sizes["train"]):
        pieces.append(f"timed with batches of {costs.batch}")
    if lr_range.wanted(job.cfg):
        pieces.append(f"{lr_range.STEPS} steps that find the learning rate")
    if isinstance(job.strategy, Collect):
        pieces.append("and more heads for the learning curve")
    return total, f"about {_words(total)}: {', '.join(pieces)}"


def _limited(batches: int, limit: float | int) -> int:
    """How many batches an epoch has: a fraction of them all, or a number."""
    return min(batches, limit) if isinstance(limit, int) else math.floor(batches * limit)


def _words(seconds: float) -> str:
    """A time as a person says it.

    >>> _words(0.04), _words(75), _words(4000), _words(200_000)
    ('0.04 s', '75 s', '67 min', '56 h')
    """
    if seconds < 100:
        return f"{seconds:.2g} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.0f} h"


def _memory(job: Job, device: torch.device, costs: Costs) -> Finding:
    """What a step takes with the batch that will be used: what it took, and what the images that
    were not in the timed batch keep for their gradients."""
    cuda = device.type == "cuda"
    batch = min(job.images.batch_size, job.images.sizes["train"])
    used = torch.cuda.max_memory_allocated(device) if cuda else _peak()
    used += _more(costs, batch)
    total = torch.cuda.get_device_properties(device).total_memory if cuda else _installed()
    whose = f"of the GPU's {decimal(total)}" if cuda else f"of main memory ({decimal(total)})"
    steps = job.cfg.trainer.accumulate_grad_batches
    several = f", {steps} of them a step" if steps > 1 else ""
    found = f"about {decimal(used)} {whose} for batches of {batch}{several}"
    if used > NEARLY_FULL * total > 0:
        halved = (
            f"loader.batch_size={max(1, batch // 2)} trainer.accumulate_grad_batches={2 * steps}"
        )
        return yellow("memory", found, f"{halved}, or trainer=mixed")
    return green("memory", found)


def _more(costs: Costs, batch: int) -> int:
    """Bytes for the images of a whole batch that were not in what was timed: in a step, or where
    features are computed before it."""
    step = costs.kept * (batch - costs.batch)
    before = costs.passed.largest * (batch - costs.passed.images) if costs.passed else 0
    return max(0, step, before)


def _installed() -> int:
    """Bytes of memory that the machine has; 0 where that cannot be asked."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):  # on Windows
        return 0


def _peak() -> int:
    """The most bytes of memory that this process has had."""
    if sys.platform == "win32":
        return 0
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak
