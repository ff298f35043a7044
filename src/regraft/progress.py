"""What a person sees while a job trains: one bar with accuracy and time left; and its history."""

import csv
import multiprocessing
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any

import pytorch_lightning as pl
from annotated_types import Ge
from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)

from regraft.monitors import LOGGED, Mode, at_training_end
from regraft.paths import whole

QUIET_S = 20  # between two lines where no bar can be drawn


class Bar(pl.Callback):
    """One rich bar over all steps of the training."""

    def __init__(self, console: Console) -> None:
        self.progress = _progress(console, TextColumn("{task.fields[status]}"))

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        total = int(trainer.num_training_batches) * int(trainer.max_epochs or 1)
        self.said = time.monotonic()
        self.progress.start()
        done = trainer.fit_loop.epoch_loop.batch_progress.total.completed  # by an earlier job
        self.task = self.progress.add_task("training", total=total, completed=done, status="")

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        name = f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}"
        self.progress.update(self.task, description=name)

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        self.progress.advance(self.task)

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.sanity_checking:
            return  # there is no bar yet
        status = f"val acc {float(trainer.callback_metrics['val/acc']):.3f}"
        self.progress.update(self.task, status=status)
        # In a log file there is no bar; a line now and then says that it goes on.
        if self.progress.disable and time.monotonic() - self.said > QUIET_S:
            done = f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}: {status}"
            left = self.progress.tasks[self.task].time_remaining
            about = f", about {left:.0f} s left" if left is not None else ""
            self.progress.console.print(done + about, highlight=False)
            self.said = time.monotonic()

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.progress.stop()

    def on_exception(self, trainer: pl.Trainer, *_: Any) -> None:
        self.progress.stop()


def watched(console: Console, chunks: Iterable[Any], total: int, doing: str) -> Iterator[Any]:
    """The same chunks, with a bar in the terminal for as long as they come."""
    with _progress(console) as progress:
        yield from progress.track(chunks, total=total, description=doing)


def counted(console: Console, batches: Iterable[Any], size: Callable[[Any], int]) -> Iterator[Any]:
    """The same batches, and how many images were in them and come in a second: nobody knows how
    many there will be. In a log file it is a line now and then."""
    done, started = 0, time.monotonic()
    said = started
    with console.status("reading images") if console.is_terminal else nullcontext() as status:
        for batch in batches:
            yield batch
            done, now = done + size(batch), time.monotonic()
            line = f"{done:,} images, {done / max(now - started, 1e-3):,.0f}/s"
            if status:
                status.update(line)
            elif now - said > QUIET_S:
                console.print(line, highlight=False)
                said = now


def _progress(console: Console, *more: ProgressColumn) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        TaskProgressColumn(),
        *more,
        TimeRemainingColumn(),
        console=console,
        transient=True,
        # Without a terminal it leaves an empty line; the bars of jobs side by side, a mess.
        disable=not console.is_terminal or multiprocessing.parent_process() is not None,
    )


class EarlyStopping(pl.callbacks.EarlyStopping):
    """Lightning's, asleep while stages wait for their start: a plateau of the probe is no end."""

    def __init__(self, *, monitor: str, mode: Mode, patience: Annotated[int, Ge(1)]) -> None:
        late = at_training_end(monitor)
        super().__init__(monitor, mode=mode, patience=patience, check_on_train_epoch_end=late)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if _all_stages_learn(trainer, pl_module):
            super().on_validation_end(trainer, pl_module)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if _all_stages_learn(trainer, pl_module):
            super().on_train_epoch_end(trainer, pl_module)


def _all_stages_learn(trainer: pl.Trainer, module: Any) -> bool:
    # As the last step of this epoch was, not as the next one will be.
    done = (trainer.global_step - 1) / max(1, int(trainer.estimated_stepping_batches))
    return bool(module.plan.frozen(done) == module.plan.frozen(1.0))


class History(pl.Callback):
    """One row per epoch, kept in metrics.csv as it grows; a resumed run goes on with it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows: list[dict[str, float]] = []
        self.validated = False

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.validated = not trainer.sanity_checking

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        # Without a validation in this epoch, Lightning still holds the values of the last one.
        new = [k for k in LOGGED if self.validated or not k.startswith("val/")]
        metrics = trainer.callback_metrics
        values = {name: float(metrics[name]) for name in new if name in metrics}
        self.validated = False
        self.rows.append({"epoch": trainer.current_epoch, "step": trainer.global_step, **values})
        with (
            whole(self.path) as unfinished,
            unfinished.open("w", newline="", encoding="utf-8") as file,
        ):
            writer = csv.DictWriter(file, ["epoch", "step", *LOGGED], restval="")
            writer.writeheader()
            writer.writerows(self.rows)

    def state_dict(self) -> dict[str, Any]:
        return {"rows": self.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.rows = state_dict["rows"]
