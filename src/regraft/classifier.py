"""The one Lightning module: a trunk, a head, and a plan that says which of it learns."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from pytorch_lightning.plugins.precision import Precision
from pytorch_lightning.utilities import GradClipAlgorithmType
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torchmetrics import MeanMetric
from torchmetrics.classification import MulticlassAccuracy

from regraft.backbone import Backbone
from regraft.counts import by_class
from regraft.cut import Cut
from regraft.data.images import Batch
from regraft.errors import RegraftError
from regraft.head import Head
from regraft.optim import Plateau
from regraft.plan import Plan

OptimizerFactory = Callable[[Backbone, Plan, nn.Module], Optimizer]
SchedulerFactory = Callable[[Optimizer, int], LRScheduler]


STATES = {"state_dict", "current_model_state"}  # in a checkpoint; the second beside an average


class Classifier(pl.LightningModule):
    """Trains `head` on `backbone` as `plan` says, with cross-entropy.

    Batches are (images, labels), images (B, 3, H, W) normalised and labels int64 (B,), or in
    training their shares, float (B, num_classes), where images are mixed. With a `cut` they are
    (activations, labels): what the stages below it gave for the images, computed once.
    `class_weights`, float (num_classes,), weigh the loss in training. `card` goes into every
    checkpoint: plain data that rebuilds the model without a network.
    """

    def __init__(
        self,
        backbone: Backbone,
        plan: Plan,
        head: Head,
        optimizer: OptimizerFactory,
        scheduler: SchedulerFactory,
        classes: tuple[str, ...],
        *,
        cut: Cut | None = None,
        class_weights: Tensor | None = None,
        card: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.backbone, self.plan, self.head = backbone, plan, head
        self.make_optimizer, self.make_scheduler = optimizer, scheduler
        self.classes, self.cut = classes, cut
        self.card = {**(card or {}), "classes": list(classes)}
        self.class_weights: Tensor | None
        self.register_buffer("class_weights", class_weights, persistent=False)
        # Unchecked: a label out of range fails in the loss, and a NaN is to be seen, not skipped.
        self.logged = -1  # the last epoch whose training metrics Lightning knows of
        self.said: list[tuple[Tensor, Tensor]] = []  # true and predicted classes of a validation
        self.train_loss = MeanMetric(nan_strategy="disable")
        self.train_acc = MulticlassAccuracy(len(classes), average="micro", validate_args=False)
        self.val_acc = MulticlassAccuracy(len(classes), average="micro", validate_args=False)

    def forward(self, batch: Tensor) -> Tensor:
        """Logits (B, num_classes) of images, or of activations if that is what is fed."""
        return self.head(
            self.cut.suffix(batch) if self.cut else self.backbone(batch, self.head.takes)
        )

    def training_step(self, batch: Batch, batch_index: int) -> Tensor:
        inputs, labels = batch
        logits = self(inputs)
        # Not torch's mean, which divides by the weights of a batch: rare classes would count less
        # the smaller the batch.
        loss = F.cross_entropy(logits, labels, self.class_weights, reduction="sum") / len(labels)
        # Once per image: an unchecked mean takes no weights (torchmetrics #3434).
        self.train_loss.update(loss.detach().expand(len(labels)))
        self.train_acc.update(logits, labels if labels.ndim == 1 else labels.argmax(1))
        # Once an epoch, as to log takes longer than a head's step; and by its first batch here,
        # as it may end before its last one (`max_steps`). Lightning asks for the mean at its end.
        if self.logged != self.current_epoch:
            self.logged = self.current_epoch
            log: Any = {"on_step": False, "on_epoch": True, "batch_size": len(labels)}
            self.log("train/loss", self.train_loss, **log)
            self.log("train/acc", self.train_acc, **log)
        return loss * self._share(batch_index)

    def validation_step(self, batch: Batch, batch_index: int) -> None:
        inputs, labels = batch
        logits = self(inputs)
        self.val_acc.update(logits, labels)
        loss = F.cross_entropy(logits.float(), labels)
        self.said.append((labels, logits.argmax(1)))
        self.log("val/loss", loss, batch_size=len(labels), sync_dist=True)
        self.log("val/acc", self.val_acc, batch_size=len(labels))

    def on_validation_epoch_end(self) -> None:
        # Not torchmetrics', which makes a table of class by class of each batch.
        true, predicted = (torch.cat(part).cpu().numpy() for part in zip(*self.said, strict=True))
        self.said.clear()
        found = by_class(true, predicted, len(self.classes))
        self.log("val/macro_f1", found.macro_f1, sync_dist=True)
        self.log("val/balanced_acc", found.balanced_acc, sync_dist=True)

    def predict_step(
        self, batch: Batch, batch_index: int, dataloader_idx: int = 0
    ) -> tuple[Tensor, Tensor]:
        """Logits (B, num_classes) and true labels (B,), on the CPU in full precision."""
        inputs, labels = batch
        return self(inputs).float().cpu(), labels.cpu()

    def configure_optimizers(self) -> Any:
        optimizer = self.make_optimizer(self.backbone, self.plan, self.head)
        self._refuse_to_clip_scaled_gradients(optimizer)
        schedule = self.make_scheduler(optimizer, self._steps())
        told: dict[str, Any] = {"scheduler": schedule, "interval": "step"}
        if isinstance(schedule, Plateau):
            # In the last step of an epoch, which is after its validation and before last.ckpt.
            each = int(self.trainer.num_training_batches)
            told |= {"monitor": schedule.monitor, "frequency": each, "strict": False}
        return {"optimizer": optimizer, "lr_scheduler": told}

    def lr_scheduler_step(self, scheduler: Any, metric: Any) -> None:
        """A step of the schedule; a plateau is looked for where there was a validation."""
        every = self.trainer.check_val_every_n_epoch or 1
        if not isinstance(scheduler, Plateau):
            scheduler.step()
        elif (self.current_epoch + 1) % every == 0:
            scheduler.step(metric)

    def setup(self, stage: str) -> None:
        # Devices average the gradients of what is not frozen now, before they are made to.
        if stage == "fit" and self.trainer.world_size > 1:
            self.backbone.freeze(self.plan.frozen(1.0))

    def on_train_start(self) -> None:
        self.logged = -1

    def on_train_batch_start(self, batch: Batch, batch_index: int) -> None:
        # The phase follows from the step alone, so a resumed run is in the right one
        # (Lightning #21901: a callback's own memory of it is lost).
        frozen = self.plan.frozen(self.global_step / self._steps())
        if frozen != self.backbone.frozen:
            self.backbone.freeze(frozen)

    def configure_gradient_clipping(
        self,
        optimizer: Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Lightning's, which refuses fused optimizers in any mixed precision (its #21435)."""
        precision: Any = self.trainer.precision_plugin
        algorithm = GradClipAlgorithmType(gradient_clip_algorithm or "norm")
        Precision.clip_gradients(precision, optimizer, gradient_clip_val or 0.0, algorithm)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["regraft"] = self.card
        # What is kept is the same in every epoch: a frozen trunk would fill the disk with copies
        # of itself. The best checkpoint is completed at the end (`complete`).
        for part in STATES & checkpoint.keys():
            for name in self._kept_tensors():
                checkpoint[part].pop(name, None)

    def complete(self, checkpoint: dict[str, Any]) -> dict[str, Any]:
        """The same checkpoint with the tensors of kept stages: enough to rebuild the model."""
        own = self.state_dict()
        kept = {name: own[name].cpu() for name in self._kept_tensors() if name in own}
        whole = {part: {**kept, **checkpoint[part]} for part in STATES & checkpoint.keys()}
        return {**checkpoint, **whole}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint.update(self.complete(checkpoint))
        stored = checkpoint.get("regraft", {}).get("classes", self.card["classes"])
        if stored != self.card["classes"]:
            raise RegraftError(
                f"the checkpoint knows other classes ({', '.join(stored[:3])} …) than the data "
                f"({', '.join(self.classes[:3])} …); use the data it was trained on"
            )

    def _refuse_to_clip_scaled_gradients(self, optimizer: Optimizer) -> None:
        """A fused optimizer undoes a gradient scaler's scale in its step, after the clipping."""
        scaled = getattr(self.trainer.precision_plugin, "scaler", None) is not None
        if scaled and optimizer.defaults.get("fused") and self.trainer.gradient_clip_val:
            raise RegraftError(
                f"trainer.precision={self.trainer.precision} clips gradients of optimizers that "
                "are not fused: add optimizer.fused=false, or use trainer.precision=bf16-mixed"
            )

    def _kept_tensors(self) -> list[str]:
        stages = (self.backbone.stages[index] for index in self.plan.indices("keep"))
        return [f"backbone.net.{name}" for stage in stages for name in stage.tensors]

    def _share(self, batch_index: int) -> float:
        """What makes up for batches that an epoch's last step lacks of those it is divided by."""
        each = self.trainer.accumulate_grad_batches
        left = self.trainer.num_training_batches - batch_index // each * each
        return each / min(each, left)

    def _steps(self) -> int:
        return max(1, int(self.trainer.estimated_stepping_batches))


def read_best(trainer: pl.Trainer, classifier: Classifier) -> tuple[Path, dict[str, Any]] | None:
    """The path of the best checkpoint and what it holds, complete; None if none was kept."""
    path = getattr(trainer.checkpoint_callback, "best_model_path", "")
    if not path:
        return None
    stored = torch.load(path, map_location="cpu", weights_only=True)
    return Path(path), classifier.complete(stored)


def stack(predictions: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """Batches of `predict_step` as one: logits (N, num_classes) and labels (N,)."""
    logits, labels = zip(*predictions, strict=True)
    return torch.cat(logits), torch.cat(labels)
