"""The phase before the training with labels: weights that a job makes for itself, from images.

They are a file with a card, kept in the cache by all that they depend on, so that a sweep's jobs
make them once, and put into the run's folder, where `backbone.weights=` of other runs takes them.
"""

import copy
import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from omegaconf import DictConfig
from pytorch_lightning.utilities.seed import isolate_rng
from rich.console import Console

from regraft import card, recipe, tracking
from regraft.advice.measure import device_of
from regraft.backbone import Backbone
from regraft.config import build
from regraft.data.images import Images
from regraft.data.sources import Source
from regraft.errors import RegraftError
from regraft.escaping import printable
from regraft.faults import is_out_of_memory
from regraft.fingerprint import versions
from regraft.paths import make_whole, weights_folder
from regraft.plan import Plan
from regraft.pretrain.method import Learned, Method, Task
from regraft.progress import watched
from regraft.weights import MADE, Weights

_log = logging.getLogger(__name__)
LAYOUT = 1  # of how methods learn; with another number, no weights that are kept are known
FILE = "trunk.safetensors"


def first(
    cfg: DictConfig, backbone: Backbone, plan: Plan, record: tracking.Record, console: Console
) -> None:
    """Make the weights that `pretrain=` asks for, and let them be the backbone's; or do nothing.

    They are learned from all training images of the data, however few the job is to have labels
    of. No random number of the job depends on whether they were there already. Raises RegraftError
    where they would not be used, and for a method that cannot be.
    """
    if cfg.get("pretrain") is None:
        return
    method: Method = build(cfg.pretrain)
    started = time.perf_counter()
    with isolate_rng():
        refuse(method, backbone, plan)
        pl.seed_everything(cfg.seed, workers=True, verbose=False)
        found = method.shipped(backbone)
        made, hit = (found, True) if found else _made(cfg, method, backbone, record, console)
    own = record.job.folder / MADE
    if made != own:
        card.copy(made, own, share=not found)  # never with an installed package
    backbone.weights, backbone.weights_key = str(own.absolute()), None
    known = card.read(own)
    before = (record.earlier.get("pretrain") or {}).get("seconds") or 0.0  # as in cost/wall_s
    seconds = round(before + time.perf_counter() - started, 3)
    record.add(cost={"pretrain_s": known["seconds"]})  # whoever has made them
    record.add(pretrain={"cache": "hit" if hit else "miss", "seconds": seconds, "card": known})
    console.print(printable(words(known, hit)), highlight=False, markup=False, soft_wrap=True)


def refuse(method: Method, backbone: Backbone, plan: Plan) -> None:
    """Raises RegraftError where a method's weights would not be used, or it cannot be used."""
    if not plan.indices("keep", "tune"):
        raise RegraftError(
            f"pretrain={method.name} would be for nothing: every stage starts from random weights "
            "(freeze=reset, as strategy=scratch has it); choose strategy=finetune"
        )
    method.refuse(backbone)


def words(known: dict[str, Any], hit: bool) -> str:
    """What was learned from, and how it went, for the terminal."""
    data, took = known["data"], known["seconds"]
    losses = [f"{one['stages']} {one['first']:.3g} → {one['last']:.3g}" for one in known["learned"]]
    when = "found" if hit else "made"
    labels = "" if data["labels"] else " without labels"
    return (
        f"pretrained: {known['method']} on {data['images']:,} {data['name']} images{labels}, {when}"
        f" ({took:.0f} s){'; loss: ' if losses else ''}{', '.join(losses)}"
    )


def _made(
    cfg: DictConfig, method: Method, backbone: Backbone, record: tracking.Record, console: Console
) -> tuple[Path, bool]:
    """The weights file, and whether it was there: in the run's folder, or in the cache."""
    network = copy.deepcopy(backbone)
    began = (
        network.graft(pretrained=range(len(network.stages))) if method.start == "weights" else None
    )
    source = method.source(partial(everything, cfg), network)
    images = Images(
        source,
        network.input,
        batch_size=method.batch_size,
        workers=cfg.loader.workers,
        decoded_cache=cfg.loader.decoded_cache,
    )
    device, caching = device_of(cfg), build(cfg.features)
    about = {
        "method": method.name,
        "settings": method.settings,
        "seed": cfg.seed,
        "backbone": network.name,
        "input": asdict(network.input),
        "data": images.described("train"),
        "start": recipe.weights_hash(network, len(network.stages)),
    }
    name = images.key(
        "train",
        what="weights learned without labels",
        about=about,
        kept=method.kept(caching),
        learning=LAYOUT,
        device=device.type,
        libraries=versions(method.libraries),
    )
    own = record.job.folder / MADE
    if card.read(own).get("key") == name and card.is_intact(own):
        return own, True  # of this run before it was stopped
    folder, learned = weights_folder() / name, False
    task = Task(network, images, caching, device, partial(watched, console))

    def fill(unfinished: Path) -> Path:
        nonlocal learned
        learned = True
        with _passing():
            images.keep_decoded(caching.store, task.watch, ["train"])
            history = _learned(method, task)
        card.write(
            unfinished / FILE,
            network.net.state_dict(),
            {**about, **_rest(began, history), "key": name},
        )
        return unfinished

    with _complaining(folder):
        make_whole(folder, fill, lambda kept: card.is_intact(kept / FILE))
    with suppress(OSError):  # somebody else's, or on a disk that is mounted read-only
        os.utime(card.beside(folder / FILE))  # for `regraft cache prune`
    return folder / FILE, not learned


def _learned(method: Method, task: Task) -> list[Learned]:
    _log.info("pretrain=%s on %d images", method.name, task.images.sizes["train"])
    try:
        return method.learn(task)
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        size = method.batch_size
        raise RegraftError(
            f"out of memory while pretraining with {size} images per batch; add "
            f"pretrain.batch_size={max(2, size // 2)}"
        ) from error


def _rest(began: Weights | None, history: list[Learned]) -> dict[str, Any]:
    """What the card says of the weights besides what they depend on."""
    return {
        "from": None if began is None else {"source": began.source, "sha256": began.sha256},
        "license": None if began is None else began.license,
        "learned": [asdict(part) for part in history],
        "seconds": round(sum(part.seconds for part in history), 3),
        "versions": tracking.versions(),
    }


def everything(cfg: DictConfig) -> Source:
    """The job's data before `data.per_class` or `data.fraction` makes it few."""
    data = copy.deepcopy(cfg.data)
    for name in ("per_class", "fraction"):
        if name in data:
            data[name] = None
    source: Source = build(data, cfg.seed)
    return source


class _LearningError(Exception):
    """Carries an error past those of the cache."""


@contextmanager
def _passing() -> Iterator[None]:
    try:
        yield
    except (OSError, NotImplementedError) as error:
        raise _LearningError from error


@contextmanager
def _complaining(folder: Path) -> Iterator[None]:
    """What goes wrong with the cache is said in one line; an error of the learning stays as is."""
    try:
        yield
    except _LearningError as error:
        assert error.__cause__
        raise error.__cause__ from error.__cause__.__cause__
    except (OSError, NotImplementedError) as error:
        raise RegraftError(
            f"{folder}: the pretrained weights cannot be kept ({error}); set REGRAFT_CACHE to "
            "another folder"
        ) from error
