"""Fine-tuning against a bare PyTorch loop: the same network, images, batches and optimizer."""

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import peers
import pytorch_lightning as pl
import task
import torch
from torch import nn

from regraft import head, optim, plan
from regraft.backbone import Backbone
from regraft.classifier import Classifier
from regraft.data.images import Images


def measure(rounds: int = 7, large_rounds: int = 3) -> dict[str, list[float]]:
    """Images per second of all, and ratios of times: a small network and a larger one."""
    small = _compare("fractal_resnet", size=64, per_class=100, epochs=1, rounds=rounds)
    return small | _compare("resnet18", size=96, per_class=80, epochs=2, rounds=large_rounds)


def _compare(
    network: str, *, size: int, per_class: int, epochs: int, rounds: int
) -> dict[str, list[float]]:
    images = task.images(network, size, per_class)

    def programs(epochs: int) -> dict[str, Callable[[], float]]:
        made = {"regraft": partial(_ours, network, size, images, epochs)}
        for name, peer in peers.PEERS.items():
            made[name] = partial(_peer, peer, network, images, epochs)
        return made

    task.in_turn(programs(1), 1)  # warms up
    seconds = task.in_turn(programs(epochs), rounds)
    count, what = epochs * images.sizes["train"], f"{network}, {size} px"
    made = {f"{what}: {name}, images/s": [count / s for s in seconds[name]] for name in seconds}
    for name in seconds:
        if name != "bare loop":
            figure = f"{what}: {name} / bare loop, ratio of times"
            made[figure] = task.ratios(seconds[name], seconds["bare loop"])
    return made


def _ours(network: str, size: int, images: Images, epochs: int) -> float:
    torch.manual_seed(0)
    backbone = Backbone(name=network, size=size)
    made = plan.none(len(backbone.stages), images.sizes["train"], above="tune", fixed_norm_below=0)
    plan.graft(made, backbone)
    classifier = Classifier(
        backbone,
        made,
        head.linear(backbone.out_features, None, task.CLASSES),
        partial(optim.adamw, lr=task.LR, weight_decay=task.DECAY, betas=[0.9, 0.999]),
        partial(optim.cosine, warmup=0.1),
        images.classes,
    )
    trainer = pl.Trainer(max_epochs=epochs, gradient_clip_val=task.CLIP, **peers.QUIET)
    batches = task.Normalised(images.train_dataloader(), images)
    started = time.perf_counter()
    trainer.fit(classifier, batches)
    return time.perf_counter() - started


def _peer(peer: peers.Peer, network: str, images: Images, epochs: int) -> float:
    net: Any = task.network(network)
    above = nn.Sequential(net, nn.Linear(net.num_features, task.CLASSES)).train()
    batches = task.Normalised(images.train_dataloader(), images)
    return peer(nn.Identity(), above, batches, None, epochs)
