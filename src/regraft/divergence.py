"""Divergence: a loss that is no number any more ends the training, with the step and the reason."""

import math
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from regraft.errors import RegraftError

EVERY = 50  # steps between two looks at an accelerator's losses, each of which waits for it
REMEMBERED = 50  # losses, to tell one that was rising
RISE = 1.0  # nats above the lowest of them: the noise of batches is less
NAMED = 3  # images
ROWS = 4096  # looked at together


class Divergence(pl.Callback):
    """Ends a training whose loss became NaN or infinite, before its weights are kept as the best.

    `names` are those of the training images. Raises RegraftError at the step on a CPU, where a
    look is free; at most `EVERY` steps later on an accelerator, and at the end of each epoch.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.names = names
        self.unread: list[tuple[int, Tensor]] = []  # batches and their losses, on the device
        self.every = 1  # on a CPU
        self.finite: deque[float] = deque(maxlen=REMEMBERED)

    def on_train_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        self.every = 1 if pl_module.device.type == "cpu" else EVERY
        # Of stages that are computed once, what they give is looked at if something goes wrong.
        _refuse_damaged_weights(pl_module, frozen=pl_module.cut is None)

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        loss = outputs["loss"]
        if self.every == 1 and math.isfinite(number := loss.item()):
            self.finite.append(number)
            return
        self.unread.append((batch_idx, loss))
        if len(self.unread) >= self.every or trainer.is_last_batch:
            self._look(trainer, pl_module, batch[0])

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        loss = trainer.callback_metrics.get("val/loss")
        if loss is not None and not loss.isfinite():  # checkpoints are written after this
            self._stop(trainer, pl_module, trainer.global_step, float(loss), "validation loss")

    def _look(self, trainer: pl.Trainer, module: pl.LightningModule, inputs: Tensor) -> None:
        """Read the losses since the last look; stop at the first that is no number."""
        losses = torch.stack([loss for _, loss in self.unread]).tolist()
        each, last = trainer.accumulate_grad_batches, self.unread[-1][0]
        for (batch, _), loss in zip(self.unread, losses, strict=True):
            if not math.isfinite(loss):
                step = trainer.global_step - (last // each - batch // each)
                self._stop(trainer, module, step, loss, "loss", inputs)
            self.finite.append(loss)
        self.unread.clear()

    def _stop(
        self,
        trainer: pl.Trainer,
        module: pl.LightningModule,
        step: int,
        loss: float,
        name: str,
        inputs: Tensor | None = None,
    ) -> None:
        became = "NaN" if math.isnan(loss) else "infinite"
        epoch = f"epoch {trainer.current_epoch + 1} of {trainer.max_epochs}"
        reason = self._reason(trainer, module, step, inputs)
        best = getattr(trainer.checkpoint_callback, "best_model_path", "")
        kept = f"; the best weights until then are kept in {Path(best).name}" if best else ""
        raise RegraftError(f"the {name} became {became} at step {step} ({epoch}): {reason}{kept}")

    def _reason(
        self, trainer: pl.Trainer, module: pl.LightningModule, step: int, inputs: Tensor | None
    ) -> str:
        """The likely reason, found by looking, and what to do."""
        half = trainer.precision == "16-mixed"
        wider = "use trainer.precision=bf16-mixed or 32-true"
        if bad := list(_damaged_rows(trainer)):
            _refuse_damaged_weights(module, frozen=True)
            names = ", ".join(dict.fromkeys(self.names[row % len(self.names)] for row in bad))
            what = f"what the kept stages give for some images is no number ({names})"
            return f"{what}; {wider}" if half else f"{what}; look at these images"
        if inputs is not None and not inputs.isfinite().all():
            return "the batch itself holds NaN after normalising and augmenting; try augment=none"
        # Lightning has divided them by the number of batches in a step.
        losses = [loss * trainer.accumulate_grad_batches for loss in self.finite]
        last = losses[-1] if losses else None
        if last is not None and last > min(losses) + RISE:
            rise = f"it had risen from {min(losses):.3g} to {last:.3g}"
            return f"{rise}, so the learning rate is too high: {_lower_rate(trainer, module)}"
        if half:
            return f"16-mixed holds no number above 65504, which was exceeded; {wider}"
        if last is None:
            return (
                "images and weights are numbers, but what the network makes of the first batch is "
                "not; look for a division by zero or a logarithm in head, backbone or augment"
            )
        before = f"it was {last:.3g} the step before, and images and first weights were numbers"
        return (
            f"{before}: most likely the learning rate is too high: {_lower_rate(trainer, module)}"
        )


def _lower_rate(trainer: pl.Trainer, module: Any) -> str:
    groups = trainer.optimizers[0].param_groups
    at_most = max(group.get("initial_lr", group["lr"]) for group in groups)
    rate = module.card.get("config", {}).get("optimizer", {}).get("lr", at_most)
    rate = at_most if rate == "auto" else rate
    lower = rate / 10 if rate <= 1 else 0.01
    return f"try optimizer.lr={lower:.2g} instead of {rate:.2g}"


def _refuse_damaged_weights(module: Any, *, frozen: bool) -> None:
    """Raises RegraftError for weights that were no numbers before anything was learned.

    Buffers may be infinite: masks of attention are.
    """
    damaged = {
        name: ~tensor.detach().isfinite().all()
        for name, tensor in module.named_parameters()
        if frozen or tensor.requires_grad
    }
    for name, tensor in module.named_buffers():
        if frozen and name.startswith("backbone.") and tensor.is_floating_point():
            damaged[name] = tensor.isnan().any()
    if not torch.stack([*damaged.values()]).any():  # waits for the device once
        return
    names = [name for name, bad in damaged.items() if bad]
    several = f" and {len(names) - 1} more" * (len(names) > 1)
    raise RegraftError(
        f"the weights hold NaN or infinite numbers before any training: {names[0]}{several}; "
        "choose other backbone.weights"
    )


def _damaged_rows(trainer: Any) -> Iterator[int]:
    """The first rows of features that were computed once and are no numbers."""
    tensors = getattr(trainer.datamodule, "tensors", None)
    rows: Any = tensors["train"][0] if tensors else ()
    found = 0
    for start in range(0, len(rows), ROWS):
        finite = rows[start : start + ROWS].flatten(1).isfinite().all(1)
        for row in (~finite).nonzero().flatten().tolist():
            yield start + row
            found += 1
            if found == NAMED:
                return
