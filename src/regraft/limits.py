"""How much of the images a trainer leaves out: refused where nothing would be left of a split."""

import math
from typing import Any

from pytorch_lightning.callbacks import EarlyStopping, Timer

from regraft.data.images import Images, NeverAlone
from regraft.errors import RegraftError


def refuse_empty(trainer: Any, images: Images, *, searching: bool) -> None:
    """Raises RegraftError for limits that leave no batch and times that leave no step, and for a
    search without validation images.

    Lightning would say so in the middle of a job, or train nothing at all.
    """
    sizes, size = images.sizes, images.batch_size
    if searching and not sizes["val"]:
        raise RegraftError(
            "hydra/sweeper=optuna chooses by the validation images, and there are none; set "
            "data.val_fraction=0.15"
        )
    if not sizes["val"] and any(isinstance(one, EarlyStopping) for one in trainer.callbacks):
        raise RegraftError(
            "callbacks=early_stopping watches the validation, and there are no validation images; "
            "leave it out or set data.val_fraction=0.15"
        )
    train = NeverAlone.count(sizes["train"], size)
    val, test = (math.ceil(sizes[split] / size) for split in ("val", "test"))
    overfit = "overfit_batches" if trainer.overfit_batches else None
    train = _left(overfit or "limit_train_batches", trainer.limit_train_batches, train)
    if trainer.limit_val_batches:  # 0: nothing is validated
        _left(overfit or "limit_val_batches", trainer.limit_val_batches, val)
    _left("limit_predict_batches", trainer.limit_predict_batches, min(val or test, test or val))
    every = trainer.val_check_interval
    if isinstance(every, int) and every > train:
        raise RegraftError(
            f"trainer.val_check_interval={every}: an epoch has {train} batches, so give no more, "
            "or a fraction of an epoch such as 0.5",
            key="trainer.val_check_interval",
        )
    times = [one.time_remaining() for one in trainer.callbacks if isinstance(one, Timer)]
    if any(left is not None and left <= 0 for left in times):
        key = "trainer.max_time"
        raise RegraftError(f"{key}: no time to train in; give DD:HH:MM:SS", key=key)


def _left(name: str, limit: float, batches: int) -> int:
    """How many of so many batches a limit leaves; RegraftError for less than one."""
    left = min(limit, batches) if isinstance(limit, int) else int(limit * batches)
    if batches and not left:
        key = f"trainer.{name}"
        raise RegraftError(
            f"{key}={limit} of {batches} is less than one batch; give a number of batches, such as "
            "1",
            key=key,
        )
    return left
