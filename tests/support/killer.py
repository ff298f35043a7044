"""A callback that ends its own process at one step of the training, as a machine or a person would.

No test needs to watch a process for the moment to strike: the blow falls at the same step always.
"""

import os
import signal
from pathlib import Path
from typing import Any

import pytorch_lightning as pl


class Killer(pl.Callback):
    """Sends its process a signal at the start of a step, once: a folder remembers that it did.

    `step` counts the batches of the whole training from 1; `name` is that of a signal, such as
    SIGKILL, which no handler sees, or SIGINT, which is Ctrl-C. With `group`, all processes of the
    process's group get it, as from a terminal. With `pair`, whoever comes to the step first waits
    for a second job, so that the signal finds both at work.
    """

    def __init__(
        self,
        *,
        folder: str,
        step: int,
        name: str = "SIGKILL",
        group: bool = False,
        pair: bool = False,
    ) -> None:
        self.folder, self.step, self.signal = Path(folder), step, getattr(signal, name)
        self.group, self.pair = group, pair

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: Any, batch: Any, _: int) -> None:
        if trainer.fit_loop.total_batch_idx + 1 != self.step or (self.folder / "killed").exists():
            return
        if not self.pair:
            self._strike()
            return
        meeting = self.folder / "meeting"  # a pipe: to open it waits for the other end
        try:
            os.mkfifo(meeting)
        except FileExistsError:
            with meeting.open("wb"):
                self._strike()
        else:
            meeting.read_bytes()  # nothing, and its end once the other one has struck

    def _strike(self) -> None:
        (self.folder / "killed").touch()
        if self.group:
            os.killpg(os.getpgid(0), self.signal)
        else:
            os.kill(os.getpid(), self.signal)
