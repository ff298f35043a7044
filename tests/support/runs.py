"""Trained runs that tests share: each set of words is trained once, whatever the number of workers.

A test asks for `finished_run(*words)` and reads what the run left. Whoever wants to change it
takes a copy; a shared folder that has changed fails the test run.
"""

import csv
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import in_process
import shared
from stripes import TINY, filled, stripes

__all__ = ["TINY", "Run", "filled", "finished_run", "stripes"]

_ENVIRONMENT = dict(os.environ)  # before any test has set something for itself


@dataclass(frozen=True)
class Run:
    """A command that has ended, and the folder that it left, which is for reading only."""

    folder: Path
    returncode: int
    stdout: str
    stderr: str

    @cached_property
    def result(self) -> dict[str, Any]:
        return json.loads((self.folder / "result.json").read_text())

    @cached_property
    def results(self) -> list[dict[str, Any]]:
        """Of a sweep's jobs, in their order."""
        paths = sorted(self.folder.glob("*/result.json"), key=lambda path: int(path.parent.name))
        return [json.loads(path.read_text()) for path in paths]

    @cached_property
    def witness(self) -> dict[str, Any]:
        """What was seen of the training step by step; see witness.py."""
        return json.loads((self.folder.parent / "witness" / "rank0.json").read_text())

    def rows(self, name: str) -> list[dict[str, str]]:
        """A table of the run, such as predictions.csv."""
        with (self.folder / name).open(newline="") as file:
            return list(csv.DictReader(file))

    def copy(self, to: Path) -> Path:
        """The folder once more, to be changed."""
        return shutil.copytree(self.folder, to, symlinks=True)


def finished_run(*words: str) -> Run:
    """What `python train.py <words>` leaves; with -m, a sweep.

    `{stripes}` in a word is the folder of `stripes()`. The run has a cache of its own, so that
    what it has computed does not depend on other tests. It is trained in this process: ask for it
    before you patch anything, or all workers are given a run of your patches.
    """
    place = shared.once("run", words, lambda place: _train(place, words))
    ended = json.loads((place / "ended.json").read_text())
    return Run(place / "run", ended["returncode"], ended["stdout"], ended["stderr"])


def _train(place: Path, words: tuple[str, ...]) -> None:
    witness = f"+callbacks.witness={{_target_:witness.Witness,folder:'{place}/witness'}}"
    watched = [] if {"-m", "--multirun"} & {*words} else [witness]
    folders = [f"hydra.run.dir='{place}/run'", f"hydra.sweep.dir='{place}/run'"]
    own = {"REGRAFT_CACHE": str(place / "cache"), "REGRAFT_TRUST": "witness"}
    with _environment_of_nobody():
        ended = in_process.train(place, *words, *watched, *folders, **own)
    if next(place.glob("run/**/*.wandb"), None):
        import wandb

        wandb.teardown()  # its own process writes on for a moment; from here on nothing changes
    said = {name: getattr(ended, name) for name in ("returncode", "stdout", "stderr")}
    (place / "ended.json").write_text(json.dumps({"words": words} | said))


@contextmanager
def _environment_of_nobody() -> Iterator[None]:
    """Without what the test that happens to ask first has set for itself."""
    before = dict(os.environ)
    os.environ.clear()
    os.environ.update(_ENVIRONMENT | {shared.PLACE: before[shared.PLACE]})
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
