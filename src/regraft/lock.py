"""One process at a time in a folder of results."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from regraft.errors import RegraftError
from regraft.paths import file_lock, is_shared, shown

LOCK = ".lock"
PATIENCE_S = 1  # whoever asks is_held has the lock for a moment


def is_held(folder: Path) -> bool:
    """Whether a process is at work in the folder, as far as one can know."""
    try:
        with _lock(folder).acquire(blocking=False):
            return False
    except Timeout:
        return True
    except (OSError, NotImplementedError):
        return False


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Keep other processes out of the folder; the system lets them in again when this one dies.

    Raises RegraftError if another one is in there. Where there are no locks, all are let in.
    """
    lock = _lock(folder)
    try:
        lock.acquire(timeout=PATIENCE_S)
    except Timeout as error:
        where = shown(folder)
        died = f"; if its machine has died, remove {where}/{LOCK} and begin again"
        hint = died if is_shared(folder) else ""
        raise RegraftError(f"{where} is running: another process is at work there{hint}") from error
    except (OSError, NotImplementedError):
        pass
    try:
        yield
    finally:
        lock.release()


def _lock(folder: Path) -> FileLock:
    return file_lock(folder / LOCK)
