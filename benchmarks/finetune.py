"""Fine-tuning against a bare PyTorch loop: the same network, images, batches and optimizer."""

import logging
import time
import warnings
from functools import partial
from typing import Any

import pytorch_lightning as pl
import timm
import torch

from regraft import head, optim, plan
from regraft.backbone import Backbone
from regraft.classifier import Classifier
from regraft.data.images import Images
from regraft.data.sources import fractals

BATCH, CLASSES, LR = 64, 20, 3e-3


def measure(pairs: int, per_class: int = 100) -> dict[str, list[float]]:
    """Images per second of both, and the ratio of their times, in `pairs` alternating runs."""
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore")
    splits = {"train": per_class, "val": 5, "test": 5, "size": 64, "fractal_seed": 0}
    source = fractals(0, role="target", classes=CLASSES, per_class=None, **splits)
    images = Images(source, _backbone().input, batch_size=BATCH, workers=0)
    count = images.sizes["train"]
    ours, bare = [], []
    for number in range(pairs + 1):
        order = (_ours, _bare) if number % 2 else (_bare, _ours)
        seconds = {function: function(images) for function in order}
        if number:  # the first pair warms up
            ours.append(seconds[_ours])
            bare.append(seconds[_bare])
    return {
        "regraft, images/s": [count / s for s in ours],
        "bare loop, images/s": [count / s for s in bare],
        "ratio of times": [a / b for a, b in zip(ours, bare, strict=True)],
    }


def _backbone() -> Backbone:
    torch.manual_seed(0)
    return Backbone(name="fractal_resnet")


def _ours(images: Images) -> float:
    backbone = _backbone()
    made = plan.none(len(backbone.stages), images.sizes["train"], above="tune", fixed_norm_below=0)
    plan.graft(made, backbone)
    classifier = Classifier(
        backbone,
        made,
        head.linear(backbone.out_features, None, CLASSES),
        partial(optim.adamw, lr=LR, weight_decay=0.01, betas=[0.9, 0.999]),
        partial(optim.cosine, warmup=0.1),
        images.classes,
    )
    quiet: dict[str, Any] = {
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    trainer = pl.Trainer(max_epochs=1, gradient_clip_val=1.0, accelerator="cpu", **quiet)
    loader = images.train_dataloader()
    start = time.perf_counter()
    trainer.fit(classifier, Normalised(loader, images))
    return time.perf_counter() - start


def _bare(images: Images) -> float:
    torch.manual_seed(0)
    net = timm.create_model("fractal_resnet", num_classes=CLASSES)
    net = net.to(memory_format=torch.channels_last).train()
    decayed = [p for p in net.parameters() if p.ndim > 1]
    others = [p for p in net.parameters() if p.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": 0.01}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=LR, foreach=True)
    loader = images.train_dataloader()
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, len(loader))
    start = time.perf_counter()
    for x, y in Normalised(loader, images):
        x = x.contiguous(memory_format=torch.channels_last)
        loss = torch.nn.functional.cross_entropy(net(x), y)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    return time.perf_counter() - start


class Normalised:
    """The same batches for both programs, made ready in the same way."""

    def __init__(self, loader: Any, images: Images) -> None:
        self.loader, self.images = loader, images

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Any:
        return ((self.images.input.normalize(x), y) for x, y in self.loader)
