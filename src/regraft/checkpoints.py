"""What a job keeps while it trains, so that it can go on as if it had never been stopped."""

import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import pytorch_lightning as pl
import torch
from annotated_types import Gt
from pytorch_lightning.callbacks import Checkpoint, ModelCheckpoint
from torchmetrics import Metric

from regraft import streams
from regraft.checkpoint_io import RESUME
from regraft.errors import RegraftError
from regraft.interrupt import bell
from regraft.rank import rank
from regraft.streams import Start

_log = logging.getLogger(__name__)
TOLD = "REGRAFT_LAST"  # the environment variable with the first process's last checkpoint


class Last(Checkpoint):
    """Keeps last.ckpt: whole, after each epoch, in long ones every so many minutes, and when the
    job is asked to stop.

    Lightning's checkpoints know nothing of random streams, of metrics that an epoch has gathered
    so far, of batches that are done, and of an early stop. Lightning calls a `Checkpoint` after
    all other callbacks.
    """

    def __init__(self, *, path: str, minutes: Annotated[float, Gt(0)] | None) -> None:
        self.path, self.minutes = Path(path), minutes
        self.start: Start | None = None  # of who goes on from what is being written
        self.found: dict[str, Any] = {}  # what a job before this one has kept
        self.spent: Callable[[], dict[str, Any]] = dict  # by the run until now

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.began = self.saved = time.monotonic()
        bell.listen()
        if self.found:
            if trainer.max_steps != -1 and not Start(*self.found["start"]).batches:
                _begin_next_epoch(trainer)
            for name, state in self.found["metrics"].items():
                _put_back(getattr(pl_module, name), state)
            streams.restore(self.found["streams"])  # last: nothing is drawn from here on

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        due = self.minutes is not None and time.monotonic() - self.saved > 60 * self.minutes
        if (bell.rung or due) and _is_between(trainer, batch_idx + 1):
            self._save(trainer, Start(trainer.current_epoch, batch_idx + 1))
            bell.stop_if_rung(f"at step {trainer.global_step}")

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._save(trainer, Start(trainer.current_epoch + 1))
        bell.stop_if_rung(f"at step {trainer.global_step}")

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        bell.listening = False

    def on_exception(self, trainer: pl.Trainer, *_: Any) -> None:
        bell.listening = False

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        if self.start is None:  # a checkpoint that is there to be judged
            return
        metrics = [(n, m) for n, m in pl_module.named_children() if isinstance(m, Metric)]
        gathered = {n: [m._update_count, m.metric_state] for n, m in metrics if self.start.batches}
        checkpoint[RESUME] = {
            "start": tuple(self.start),
            "stopped": trainer.should_stop,
            "metrics": gathered,
            "streams": streams.states(),
            "fit_s": self.found.get("fit_s", 0.0) + time.monotonic() - self.began,
            "spent": self.spent(),
        }

    def on_load_checkpoint(
        self, trainer: Any, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        self.found = checkpoint[RESUME]
        # Before Lightning asks for the first batches, which is long before it is in their epoch.
        trainer.datamodule.start = Start(*self.found["start"])
        trainer.should_stop = self.found["stopped"]
        for callback in trainer.callbacks:
            if isinstance(callback, ModelCheckpoint):
                _move(checkpoint["callbacks"].get(callback.state_key, {}), str(callback.dirpath))

    def _save(self, trainer: pl.Trainer, start: Start) -> None:
        if is_trial(trainer):
            return
        self.start = start
        trainer.save_checkpoint(self.path)
        self.start, self.saved = None, time.monotonic()


def _begin_next_epoch(trainer: Any) -> None:
    """Lightning takes the end of an epoch for its middle where `max_steps` is given, and would end
    it a second time."""
    loop = trainer.fit_loop
    loop.epoch_progress.increment_completed()
    loop.epoch_loop.restarting = False
    loop.reset_restart_stage()


def is_trial(trainer: pl.Trainer) -> bool:
    """Whether a few batches only try out the config: what comes of them is not kept."""
    return bool(getattr(trainer, "fast_dev_run", False))


def keep_last_as_best(trainer: pl.Trainer) -> bool:
    """Keep the weights of the last step as the best; whether it was to be, as nothing was judged.

    A training may end before its first validation, by its steps or its time, or have none. All
    processes of several devices call this.
    """
    callback = trainer.checkpoint_callback
    best = isinstance(callback, ModelCheckpoint) and not callback.best_model_path
    if not best or is_trial(trainer):
        return False
    assert isinstance(callback, ModelCheckpoint) and callback.dirpath
    path = Path(callback.dirpath) / f"{callback.filename}.ckpt"
    trainer.save_checkpoint(path)
    callback.best_model_path = str(path)
    return True


def _is_between(trainer: pl.Trainer, batches: int) -> bool:
    """Whether nothing is under way after so many batches of an epoch: a step of several batches,
    or a validation, which comes next."""
    every, validated = trainer.accumulate_grad_batches, trainer.val_check_batch
    return bool(batches % every == 0 and validated and batches % validated) and (
        batches < trainer.num_training_batches and trainer.world_size == 1
    )


def _put_back(metric: Any, state: list[Any]) -> None:
    metric._update_count, tensors = state
    for name, tensor in tensors.items():
        setattr(metric, name, tensor.to(metric.device))


def _move(state: dict[str, Any], folder: str) -> None:
    """Where the best checkpoint is, if the run's folder is elsewhere now."""
    before = str(state.get("dirpath"))
    for key, value in state.items():
        if isinstance(value, str):
            state[key] = value.replace(before, folder)
        elif isinstance(value, dict):
            state[key] = {name.replace(before, folder): score for name, score in value.items()}


def left_by_earlier(trainer: Any, classifier: Any, record: Any) -> tuple[Path | None, float]:
    """The last checkpoint of a job that this one goes on with, and the seconds it has trained.

    The record is told what that job had spent, and says what to keep in checkpoints from here on.
    None if there is none, or none that can be read, or that has other batches because these did
    not fit into memory; the training then starts from the beginning.
    """
    callback = next((one for one in trainer.callbacks if isinstance(one, Last)), None)
    path = None
    if callback is not None:
        path, callback.spent = callback.path, record.spent
    if trainer.world_size > 1:
        path = _of_the_first(trainer, path)
    if path is None or not path.exists():
        return None, 0.0
    try:
        kept = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        then, now = (card["config"]["loader"] for card in (kept["regraft"], classifier.card))
        if then["batch_size"] != now["batch_size"]:
            return None, 0.0
        record.goes_on_from(kept[RESUME].get("spent", {}))
        print(f"goes on after step {kept['global_step']}", flush=True)
        return path, kept[RESUME]["fit_s"]
    except Exception as error:  # torch raises many kinds of them
        _log.info("%s", path, exc_info=error)
        _log.warning("%s cannot be read: the training starts from the beginning", path)
        return None, 0.0


def _of_the_first(trainer: Any, path: Path | None) -> Path | None:
    """The checkpoint of the first process, which tells the others: their folders are their own.

    Raises RegraftError where it cannot, as it has not started them.
    """
    if rank():
        return Path(told) if (told := os.environ.get(TOLD)) else None
    os.environ.pop(TOLD, None)
    if path is None or not path.exists():
        return None
    if trainer.strategy.cluster_environment.creates_processes_externally:
        raise RegraftError(
            f"{path.parent.parent}: goes on without torchrun only; start it with trainer.devices="
            f"{trainer.world_size}"
        )
    os.environ[TOLD] = str(path.absolute())
    return path
