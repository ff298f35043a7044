"""Random rows out of the store: as fast as the memory map allows, in memory that does not grow?"""

import multiprocessing
import tempfile
import time
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import task
import torch

from regraft.batches import Batches
from regraft.data.images import as_tensor
from regraft.fingerprint import key
from regraft.store import Store

FEATURES, CHUNK = 512, 10_000
STATUS = Path("/proc/self/status")


def measure(rows: int = 100_000, rounds: int = 7) -> dict[str, list[float]]:
    """Batches per second of both, the ratio of their times, and what memory an epoch takes."""
    made: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        array = _stored(Path(folder), rows)
        labels = torch.zeros(rows, dtype=torch.int64)
        for size in (64, 1024):
            count = -(-rows // size)
            programs = {
                "ours": partial(_epoch, Batches(as_tensor(array), labels, size, shuffle=True)),
                "numpy": partial(_epoch, _Fancy(array, labels.numpy(), size)),
            }
            task.in_turn(programs, 1)  # warms up: the file is in the page cache from here on
            seconds = task.in_turn(programs, rounds)
            made |= {
                f"regraft, batches of {size}/s": [count / s for s in seconds["ours"]],
                f"numpy on the same memory map, batches of {size}/s": [
                    count / s for s in seconds["numpy"]
                ],
                f"batches of {size}, ratio of times": task.ratios(
                    seconds["ours"], seconds["numpy"]
                ),
            }
        if not STATUS.exists():
            print("no /proc/self/status here, so memory is left out")
            return made
        for part in (rows // 4, rows // 2, rows):
            size_mb = part * FEATURES * 2 / 1e6
            name = f"{part:,} rows ({size_mb:.0f} MB): memory of two epochs, MB"
            _stored(Path(folder), part)  # not there, where what making it freed is used again
            made[name] = [_in_another_process(_peak, Path(folder), part)]
    return made


def _stored(folder: Path, rows: int) -> np.ndarray:
    """So many rows of float16 from the store, which makes them if they are not there."""
    store = Store(folder)

    def chunks() -> Iterator[np.ndarray]:
        rng = np.random.default_rng(0)
        for start in range(0, rows, CHUNK):
            count = min(CHUNK, rows - start)
            yield rng.standard_normal((count, FEATURES), np.float32).astype(np.float16)

    return store.compute(key(rows=rows), (rows, FEATURES), np.float16, chunks(), {})


class _Fancy:
    """The same with numpy's indexing, which nobody beats by much."""

    def __init__(self, array: np.ndarray, labels: np.ndarray, size: int) -> None:
        self.array, self.labels, self.size = array, labels, size

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        order = np.random.permutation(len(self.array))
        for start in range(0, len(self.array), self.size):
            indices = order[start : start + self.size]
            yield self.array[indices], self.labels[indices]


def _epoch(batches: Iterable[object]) -> float:
    started = time.perf_counter()
    for _ in batches:  # each is held until the next one is there, as in a training
        pass
    return time.perf_counter() - started


def _peak(folder: Path, rows: int) -> float:
    """The most that two shuffled epochs add to the process's own memory, in MB.

    RssAnon is what the process itself has allocated. Pages of the memory map, which the system
    takes back whenever it likes, are counted as RssFile and not here.
    """
    array = _stored(folder, rows)
    labels = torch.zeros(rows, dtype=torch.int64)
    before = most = _rss_anon()
    for _ in range(2):
        for number, _ in enumerate(Batches(as_tensor(array), labels, 64, shuffle=True)):
            if number % 10 == 0:
                most = max(most, _rss_anon())
    return most - before


def _rss_anon() -> float:
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith("RssAnon"))
    return int(line.split()[1]) * 1024 / 1e6


def _in_another_process(function: object, *arguments: object) -> float:
    """A fresh one, since what was freed in this one may be used again unseen."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(function, arguments)
