"""What every program of a benchmark is given: the same images, network, head and optimizer."""

import gc
import io
import json
import logging
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

import timm
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from regraft import head
from regraft.backbone import Backbone
from regraft.data.images import Images, SplitName
from regraft.data.sources import fractals

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))
from jobs import run_job

logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
BATCH, CLASSES, LR, DECAY, CLIP = 64, 20, 3e-3, 0.01, 1.0
SPLITS: tuple[SplitName, ...] = ("train", "val", "test")
Seconds = dict[str, list[float]]


def images(network: str, size: int, train: int = 80) -> Images:
    """Fractals of 20 classes, `train` of each and 10 for val and test, as the network wants them.

    They are rendered, fitted and held once; what is measured starts with bytes in memory.
    """
    splits = {"train": train, "val": 10, "test": 10, "size": size, "fractal_seed": 0}
    source = fractals(0, role="target", classes=CLASSES, per_class=None, **splits)
    wanted = Backbone(name=network, size=size).input
    made = Images(source, wanted, batch_size=BATCH, workers=0)
    for split in SPLITS:
        made.datasets[split].ready  # noqa: B018, fits them
    return made


class Normalised:
    """The batches of a loader, made ready in the same way for every program."""

    def __init__(self, loader: Any, images: Images) -> None:
        self.loader, self.images = loader, images

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for x, y in self.loader:
            x = self.images.input.normalize(x)
            yield x.contiguous(memory_format=torch.channels_last), y


class Held:
    """Shuffled batches of what is held in memory: the least that feeding can cost."""

    def __init__(self, rows: Tensor, labels: Tensor) -> None:
        self.rows, self.labels = rows, labels

    def __len__(self) -> int:
        return -(-len(self.labels) // BATCH)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for indices in torch.randperm(len(self.labels)).split(BATCH):
            yield self.rows[indices], self.labels[indices]


@torch.no_grad()
def through(below: nn.Module, batches: Iterable[tuple[Tensor, Tensor]]) -> Held:
    """What frozen layers give for every image, held in memory."""
    below.eval()
    rows, labels = zip(*((below(x), y) for x, y in batches), strict=True)
    return Held(torch.cat(rows), torch.cat(labels))


def network(name: str) -> nn.Module:
    """The trunk, up to the pooled features, with the same random weights every time."""
    torch.manual_seed(0)
    return timm.create_model(name, num_classes=0).to(memory_format=torch.channels_last)


def mlp(features: int) -> nn.Module:
    return head.mlp(features, None, CLASSES, hidden=256, dropout=0.2).layers


def adamw(parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
    """AdamW as regraft's: biases and norms are not decayed."""
    decayed, others = [], []
    for parameter in parameters:
        (decayed if parameter.ndim > 1 else others).append(parameter)
    groups = [{"params": decayed, "weight_decay": DECAY}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=LR, fused=True)


@contextmanager
def empty_cache() -> Iterator[Path]:
    """A cache folder of its own for what runs inside, empty at first."""
    before = os.environ.get("REGRAFT_CACHE")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["REGRAFT_CACHE"] = folder
        try:
            yield Path(folder)
        finally:
            os.environ.pop("REGRAFT_CACHE")
            if before is not None:
                os.environ["REGRAFT_CACHE"] = before


def words(folder: Path, name: str, size: int, train: int = 80) -> list[str]:
    """The same images and network in the words of regraft's command line.

    The weights come from a file in `folder`: random ones would be others for every seed.
    """
    weights = folder / f"{name}.safetensors"
    if not weights.exists():
        tensors = network(name).state_dict()
        save_file({key: tensor.contiguous() for key, tensor in tensors.items()}, weights)
    return [
        *("backbone=timm", f"backbone.name={name}", f"backbone.size={size}"),
        *(f"backbone.weights={weights}", f"loader.batch_size={BATCH}", "trainer.accelerator=cpu"),
        *("data=fractals", f"data.size={size}", f"data.classes={CLASSES}"),
        *(f"data.train={train}", "data.val=10", "data.test=10"),
    ]


def sweep(
    jobs: Iterable[list[str]], *, misses: int | None = None
) -> tuple[float, list[dict[str, Any]]]:
    """Seconds of these jobs, one after another in this process, and their results.

    Fails if not so many of them had to compute features: it would have measured something else.
    """
    with tempfile.TemporaryDirectory() as folder, redirect_stdout(io.StringIO()), _frozen():
        started = time.perf_counter()
        for number, job in enumerate(jobs):
            run_job(Path(folder) / str(number), *job, sweep=True)
            gc.collect()  # as after every job of a command line (launch.py)
        seconds = time.perf_counter() - started
        results = [json.loads(path.read_text()) for path in Path(folder).glob("*/result.json")]
    found = [result["cost"]["cache"] for result in results]
    assert misses is None or (found.count("miss"), "off" in found) == (misses, False), found
    return seconds, results


@contextmanager
def _frozen() -> Iterator[None]:
    """What is there before the first job is not looked at again after each, as in launch.py."""
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def in_turn(programs: Mapping[str, Callable[[], float]], rounds: int) -> Seconds:
    """What each program says it took, in so many rounds: A B C, C B A, A B C …"""
    seconds: Seconds = {name: [] for name in programs}
    for number in range(rounds):
        for name in list(programs)[:: -1 if number % 2 else 1]:
            seconds[name].append(programs[name]())
    return seconds


def ratios(of: list[float], to: list[float]) -> list[float]:
    """Round by round."""
    return [a / b for a, b in zip(of, to, strict=True)]
