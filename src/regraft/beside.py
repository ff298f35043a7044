"""What the jobs of a sweep share that run side by side on one computer: its cores, its devices."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from filelock import Timeout
from hydra.types import RunMode
from omegaconf import DictConfig

from regraft.environment import cores
from regraft.paths import file_lock

Kind = Literal["basic", "joblib", "local", "slurm"]
_KINDS: dict[str, Kind] = {
    "BasicLauncher": "basic",
    "JoblibLauncher": "joblib",
    "LocalLauncher": "local",
    "SlurmLauncher": "slurm",
}


def kind(hydra: Any) -> Kind | None:
    """Which launcher starts the jobs of a sweep; None for a single run, and for one unknown."""
    if hydra.mode != RunMode.MULTIRUN:
        return None
    return _KINDS.get(str(hydra.launcher.get("_target_")).rpartition(".")[2])


def sweep_folder(hydra: Any) -> Path:
    """The folder of the sweep, also from a job that has another working directory."""
    return Path(hydra.runtime.cwd, hydra.sweep.dir)


def runs_side_by_side(hydra: Any) -> bool:
    """Whether several jobs of a sweep run on this computer at once."""
    return kind(hydra) in ("joblib", "local")


def is_search(hydra: Any) -> bool:
    """Whether the jobs are chosen one after the other, from what came of those before."""
    return hydra.mode == RunMode.MULTIRUN and "optuna" in str(hydra.sweeper.get("_target_"))


def in_our_processes(hydra: Any) -> bool:
    """Whether the jobs run in processes that this one has started, not in this one itself."""
    if kind(hydra) != "joblib":
        return False
    from joblib import effective_n_jobs  # takes 0.2 s

    # With one at a time, also where -1 means one core, joblib starts no process. 0 it refuses.
    return hydra.launcher.n_jobs != 0 and effective_n_jobs(hydra.launcher.n_jobs) > 1


def threads_each(config: DictConfig, jobs: int | None) -> int | None:
    """How many of the cores each job gets; None where a job has a computer for itself."""
    launcher, sweeper = config.hydra.launcher, config.hydra.sweeper
    if not runs_side_by_side(config.hydra):
        return None
    there = cores()
    if "n_jobs" in launcher:
        most = launcher.n_jobs if launcher.n_jobs > 0 else there + 1 + launcher.n_jobs
    else:
        most = sweeper.get("max_batch_size")  # without one, submitit begins with all of them
    together = sweeper.get("n_jobs")  # of a search
    given = [number for number in (most, together, jobs) if number]
    return max(1, there // max(1, min(given, default=1)))


@contextmanager
def one_of(count: int, number: int, folder: Path) -> Iterator[int]:
    """A device that no other job of the sweep in `folder` has, from `number` on in turn.

    Where all are taken, or there are no locks, jobs share: `number` modulo `count`. A killed job
    gives its device back.
    """
    for step in range(count):
        index = (number + step) % count
        lock = file_lock(folder / f".device{index}.lock")
        try:
            lock.acquire(blocking=False)
        except Timeout:
            continue
        except (OSError, NotImplementedError):
            break
        try:
            yield index
        finally:
            lock.release()
        return
    yield number % count
