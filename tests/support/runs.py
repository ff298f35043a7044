"""Trained runs that tests share: each set of words is trained once, whatever the number of workers.

A test asks for `finished_run(*words)` and reads what the run left. Whoever wants to change it
takes a copy; a shared folder that has changed fails the session.
"""

import csv
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import in_process
import numpy as np
from filelock import FileLock
from PIL import Image

REPOSITORY = Path(__file__).parents[2]
PLACE = "REGRAFT_TEST_RUNS"  # the folder of shared runs; if set by hand, it is kept for next time

# What a training needs that is about anything but accuracy: 24 images of two classes, three steps.
TINY = ("data=image_folder", "data.root={stripes}", "backbone.size=32", "loader.batch_size=8")
TINY += ("trainer.max_epochs=1", "logger=none")


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


def root() -> Path:
    """Where this session keeps what its tests share."""
    return Path(os.environ[PLACE])


@cache
def source_digest() -> str:
    """A digest of all code and settings that a run depends on."""
    digest = hashlib.sha256()
    folders = (REPOSITORY / "src", REPOSITORY / "conf", Path(__file__).parent)
    for path in sorted(p for folder in folders for p in folder.rglob("*") if p.is_file()):
        if path.suffix in {".py", ".yaml", ".safetensors"}:
            digest.update(path.relative_to(REPOSITORY).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()


_given: dict[str, Run] = {}  # what this process was given, to be looked at once more at the end


def finished_run(*words: str) -> Run:
    """What `python train.py <words>` leaves; with -m, a sweep.

    `{stripes}` in a word is the folder of `stripes()`. The run has a cache of its own, so that
    what it has computed does not depend on other tests.
    """
    key = hashlib.sha256(json.dumps([source_digest(), *words]).encode()).hexdigest()[:16]
    if key in _given:
        return _given[key]
    place, done = root() / key, root() / key / "done.json"
    root().mkdir(parents=True, exist_ok=True)
    with FileLock(root() / f"{key}.lock"):
        if not done.exists():
            shutil.rmtree(place, ignore_errors=True)
            place.mkdir()
            answer = _train(place, words)
            found = {"words": words, "files": dict(_files(place))}
            found |= {name: getattr(answer, name) for name in ("returncode", "stdout", "stderr")}
            done.write_text(json.dumps(found))
    found = json.loads(done.read_text())
    run = Run(place / "run", found["returncode"], found["stdout"], found["stderr"])
    return _given.setdefault(key, run)


def _train(place: Path, words: tuple[str, ...]) -> in_process.Done:
    witness = f"+callbacks.witness={{_target_:witness.Witness,folder:'{place}/witness'}}"
    watched = [] if {"-m", "--multirun"} & {*words} else [witness]
    folders = [f"hydra.run.dir='{place}/run'", f"hydra.sweep.dir='{place}/run'"]
    given = [filled(word) for word in words]
    own = {"REGRAFT_CACHE": str(place / "cache"), "REGRAFT_TRUST": "witness"}
    answer = in_process.train(place, *given, *watched, *folders, **own)
    if next(place.glob("run/**/*.wandb"), None):
        import wandb

        wandb.teardown()  # its own process writes on for a moment; from here on nothing changes
    return answer


def filled(word: str) -> str:
    """A word with the folder in the place of `{stripes}`."""
    return word.replace("{stripes}", str(stripes())) if "{stripes}" in word else word


def _files(place: Path) -> Iterator[tuple[str, list[int]]]:
    """Size and time of each file that nobody may change; locks are taken by whoever reads."""
    for path in sorted([*place.glob("run/**/*"), *place.glob("witness/*")]):
        if path.is_file() and path.name != ".lock":
            about = path.stat()
            yield path.relative_to(place).as_posix(), [about.st_size, about.st_mtime_ns]


def changed() -> list[str]:
    """What tests of this process, or others meanwhile, have changed in shared folders."""
    found = []
    for run in _given.values():
        place = run.folder.parent
        before = json.loads((place / "done.json").read_text())["files"]
        now = dict(_files(place))
        names = sorted(name for name in {*before, *now} if before.get(name) != now.get(name))
        found += [str(place / name) for name in names]
    return found


def stripes() -> Path:
    """Two classes, train, val and test: waves, stronger across or down; 32 pixels, nothing random.

    12, 4 and 4 images of each class; a formula gives the same pixels on every machine.
    """
    folder = root() / "sets" / "stripes"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_suffix(".lock")):
        if not folder.exists():
            making = folder.with_suffix(".part")
            shutil.rmtree(making, ignore_errors=True)
            for split, count in (("train", 12), ("val", 4), ("test", 4)):
                for turned, name in enumerate(("across", "down")):
                    (making / split / name).mkdir(parents=True)
                    for number in range(count):
                        place = making / split / name / f"{number:02}.png"
                        Image.fromarray(_waves(number, split, turned)).save(place)
            making.rename(folder)
    return folder


def _waves(number: int, split: str, turned: int) -> np.ndarray:
    """A picture (32, 32, 3) whose length of wave and colour depend on its number."""
    shift = {"train": 0, "val": 3, "test": 5}[split]
    place = np.arange(32) * (0.35 + 0.06 * ((number * 5 + shift) % 12)) + number
    strong, weak = 60 * np.sin(place)[:, None], 48 * np.sin(place * 1.3 + shift)[None]
    grain = (np.arange(32)[:, None] * 7 + np.arange(32)[None] * (11 + number)) % 23
    colour = np.array([40 * (number % 3), 20 * (number % 5), 10 * (number % 7)]) + 90
    picture = np.clip(np.round((strong + weak + grain)[..., None] + colour), 0, 255)
    picture = picture.transpose(1, 0, 2) if turned else picture
    return np.ascontiguousarray(picture.astype(np.uint8))
