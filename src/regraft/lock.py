"""One process at a time in a folder of results."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from regraft.errors import RegraftError
from regraft.paths import shown

LOCK = ".lock"


def is_held(folder: Path) -> bool:
    """Whether a process is at work in the folder, as far as one can know."""
    try:
        with held(folder):
            return False
    except RegraftError:
        return True


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Keep other processes out of the folder; the system lets them in again when this one dies.

    Raises RegraftError if another one is in there. Where there are no locks, all are let in.
    """
    # filelock's soft lock, for file systems without locks, would outlive its owner.
    lock = FileLock(folder / LOCK, fallback_to_soft=False)
    try:
        lock.acquire(blocking=False)
    except Timeout as error:
        where = shown(folder)
        raise RegraftError(f"{where} is running: another process is at work there") from error
    except (OSError, NotImplementedError):
        pass
    try:
        yield
    finally:
        lock.release()
