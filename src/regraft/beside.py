"""What the jobs of a sweep share that run side by side on one computer: its cores, its devices."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout
from omegaconf import DictConfig


def runs_side_by_side(launcher: DictConfig) -> bool:
    """Whether the launcher starts several jobs on this computer."""
    return launcher._target_.rpartition(".")[2] in ("JoblibLauncher", "LocalLauncher")


def threads_each(config: DictConfig, jobs: int | None) -> int | None:
    """How many of the cores each job gets; None where a job has a computer for itself."""
    launcher, sweeper = config.hydra.launcher, config.hydra.sweeper
    if not runs_side_by_side(launcher):
        return None
    from joblib import cpu_count  # takes 0.2 s; it knows what a container may use

    cores = cpu_count()
    if "n_jobs" in launcher:
        most = launcher.n_jobs if launcher.n_jobs > 0 else cores + 1 + launcher.n_jobs
    else:
        most = sweeper.get("max_batch_size")  # without one, submitit begins with all of them
    together = sweeper.get("n_jobs")  # of a search
    given = [number for number in (most, together, jobs) if number]
    return max(1, cores // max(1, min(given, default=1)))


@contextmanager
def one_of(count: int, number: int, folder: Path) -> Iterator[int]:
    """A device that no other job of the sweep in `folder` has, from `number` on in turn.

    Where all are taken, jobs share: `number` modulo `count`. A killed job gives its device back.
    """
    for step in range(count):
        index = (number + step) % count
        lock = FileLock(folder / f".device{index}.lock")
        try:
            lock.acquire(blocking=False)
        except Timeout:
            continue
        try:
            yield index
        finally:
            lock.release()
        return
    yield number % count
