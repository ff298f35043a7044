"""The same work as the users of other libraries write it.

Each takes frozen layers `below` (none: `nn.Identity()`), trained layers `above`, batches to train
on and to validate on after each epoch (None: no validation), and gives the seconds of the training.
"""

import time
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from typing import Any

import pytorch_lightning as pl
import torch
from task import CLIP, DECAY, LR, adamw
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

Peer = Callable[[nn.Module, nn.Module, Any, Any, int], float]
QUIET: dict[str, Any] = {
    "accelerator": "cpu",
    "logger": False,
    "enable_checkpointing": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
}


def bare(below: nn.Module, above: nn.Module, train: Any, val: Any, epochs: int) -> float:
    """A PyTorch loop with nothing around it."""
    below.requires_grad_(False).eval()
    optimizer = adamw(above.parameters())
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * len(train))
    started = time.perf_counter()
    for _ in range(epochs):
        above.train()
        for x, y in train:
            with torch.no_grad():
                x = below(x)
            loss = cross_entropy(above(x), y)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(above.parameters(), CLIP)
            optimizer.step()
            schedule.step()
        above.eval()
        with torch.no_grad():
            sum((above(below(x)).argmax(1) == y).sum() for x, y in val or ())
    return time.perf_counter() - started


class _Module(pl.LightningModule):
    def __init__(self, below: nn.Module, above: nn.Module) -> None:
        super().__init__()
        self.below, self.above = below.requires_grad_(False).eval(), above.train()

    def forward(self, x: Tensor) -> Tensor:
        return self.above(self.below(x))

    def training_step(self, batch: Any, batch_index: int) -> Tensor:
        x, y = batch
        loss = cross_entropy(self(x), y)
        self.log("train/loss", loss, on_step=False, on_epoch=True)
        return loss

    def validation_step(self, batch: Any, batch_index: int) -> None:
        x, y = batch
        self.log("val/acc", (self(x).argmax(1) == y).float().mean())

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return adamw(self.above.parameters())


def lightning(below: nn.Module, above: nn.Module, train: Any, val: Any, epochs: int) -> float:
    """A Lightning module whose trunk needs no gradient and is in evaluation mode."""
    trainer = pl.Trainer(max_epochs=epochs, gradient_clip_val=CLIP, num_sanity_val_steps=0, **QUIET)
    module = _Module(below, above)
    started = time.perf_counter()
    trainer.fit(module, train, val)
    return time.perf_counter() - started


def fastai(
    below: nn.Module, above: nn.Module, train: Any, val: Any, epochs: int, *, train_bn: bool = True
) -> float:
    """A Learner of body and head, frozen and fitted, as `vision_learner` makes it.

    fastai goes on training the batch norms of a frozen body, unless told not to.
    """
    from fastai.basics import DataLoaders, Learner, accuracy, default_device, params
    from fastai.callback.core import Callback, CancelValidException
    from fastai.callback.training import GradientClip
    from fastai.optimizer import OptimWrapper

    class NoValidation(Callback):
        def before_validate(self) -> None:
            raise CancelValidException

    default_device(False)
    learn = Learner(
        DataLoaders(train, train if val is None else val),
        nn.Sequential(below, above),
        loss_func=nn.CrossEntropyLoss(),
        opt_func=partial(OptimWrapper, opt=torch.optim.AdamW, fused=True, weight_decay=DECAY),
        splitter=lambda model: [group for part in model if (group := params(part))],
        metrics=accuracy,
        cbs=[GradientClip(CLIP), *([NoValidation()] if val is None else [])],
        train_bn=train_bn,
    )
    if any(True for _ in below.parameters()):
        learn.freeze()
    started = time.perf_counter()
    with learn.no_bar(), learn.no_logging():
        learn.fit(epochs, LR)
    return time.perf_counter() - started


PEERS: dict[str, Peer] = {"bare loop": bare, "Lightning": lightning}
FROZEN_PEERS = dict(PEERS)
if find_spec("fastai"):
    PEERS["fastai"] = fastai
    FROZEN_PEERS |= {
        "fastai": fastai,
        "fastai, train_bn=False": partial(fastai, train_bn=False),
    }
else:
    print("fastai is not installed, so it is left out: pip install -e '.[bench]'")
