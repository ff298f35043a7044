"""Three of five stages frozen: does an epoch cost what its trained part costs?

The floor is a bare loop over the trained stages alone, on activations that are held in memory:
nobody trains those stages on this machine for less. regraft reads the activations from its store.
The peers begin at the images in every epoch.
"""

import time
from collections.abc import Callable
from functools import partial as bind
from pathlib import Path
from typing import Any

import peers
import pytorch_lightning as pl
import task
import torch
from torch import nn

from regraft import features, head, optim, plan
from regraft.backbone import Backbone
from regraft.classifier import Classifier
from regraft.data.images import Images

NETWORK, SIZE, KEPT = "resnet18", 96, 3
FLOOR = "floor: bare loop on activations in memory"
OURS = "regraft"
JOB = "regraft, the fit of a whole job, with validation and checkpoints"


def measure(epochs: int = 2, rounds: int = 3) -> dict[str, list[float]]:
    """Seconds per epoch of each, and their ratios to the floor."""
    images = task.images(NETWORK, SIZE)
    below, _ = _parts()
    # Computed once, as nobody counts what it costs; full precision, so nothing to convert.
    held = task.through(below, task.Normalised(images.loader("train"), images))
    with task.empty_cache() as cache:

        def programs(epochs: int) -> dict[str, Callable[[], float]]:
            per_epoch: dict[str, Callable[[], float]] = {
                FLOOR: lambda: peers.bare(nn.Identity(), _parts()[1], held, None, epochs),
                OURS: lambda: _ours(images, epochs),
                JOB: lambda: _job(cache, epochs),
            }
            for name, peer in peers.FROZEN_PEERS.items():
                per_epoch[f"{name} on images"] = bind(_peer, peer, images, epochs)
            return {name: bind(_divided, run, epochs) for name, run in per_epoch.items()}

        _job(cache, 1, misses=None)  # fills the cache
        task.in_turn(programs(1), 1)  # warms up
        seconds = task.in_turn(programs(epochs), rounds)
    made = {f"{name}, s per epoch": values for name, values in seconds.items()}
    others = [name for name in seconds if name != FLOOR]
    return made | {f"{n} / floor": task.ratios(seconds[n], seconds[FLOOR]) for n in others}


def _divided(run: Callable[[], float], epochs: int) -> float:
    return run() / epochs


def _parts() -> tuple[nn.Module, nn.Module]:
    """The frozen stages and, with a linear head, the trained ones."""
    net: Any = task.network(NETWORK)
    below = nn.Sequential(net.conv1, net.bn1, net.act1, net.maxpool, net.layer1, net.layer2)
    logits = nn.Linear(net.num_features, task.CLASSES)
    return below, nn.Sequential(net.layer3, net.layer4, net.global_pool, logits)


def _peer(peer: peers.Peer, images: Images, epochs: int) -> float:
    return peer(*_parts(), task.Normalised(images.train_dataloader(), images), None, epochs)


def _ours(images: Images, epochs: int) -> float:
    """Lightning's trainer on regraft's batches out of the store, which has them."""
    torch.manual_seed(0)
    backbone = Backbone(name=NETWORK, size=SIZE)
    made = plan.first(
        len(backbone.stages), images.sizes["train"], stages=KEPT, above="tune", fixed_norm_below=0
    )
    plan.graft(made, backbone)
    linear = head.linear(backbone.out_features, None, task.CLASSES)
    trainer = pl.Trainer(
        max_epochs=epochs, gradient_clip_val=task.CLIP, limit_val_batches=0, **peers.QUIET
    )
    caching = features.Caching(use="on", dtype="float16", views=0, max_gb=20)
    cut = features.decide(caching, made, backbone, linear, images).cut
    computed = features.compute(caching, cut, backbone, images, trainer, lambda chunks, *_: chunks)
    assert computed is not None
    classifier = Classifier(
        backbone,
        made,
        linear,
        bind(optim.adamw, lr=task.LR, weight_decay=task.DECAY, betas=[0.9, 0.999]),
        bind(optim.cosine, warmup=0.1),
        images.classes,
        cut=cut,
    )
    started = time.perf_counter()
    trainer.fit(classifier, datamodule=computed.data)
    return time.perf_counter() - started


def _job(cache: Path, epochs: int, misses: int | None = 0) -> float:
    words = [*task.words(cache, NETWORK, SIZE), "strategy=finetune", "logger=none"]
    words += ["freeze=first", f"freeze.stages={KEPT}", "features=on"]
    _, [result] = task.sweep([[*words, f"trainer.max_epochs={epochs}"]], misses=misses)
    return float(result["cost"]["fit_s"])
