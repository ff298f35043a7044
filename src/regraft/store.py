"""Arrays that are computed once and kept on disk, for every process that wants them again."""

import errno
import logging
import math
import os
import re
import shutil
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike
from rich.filesize import decimal

from regraft.entry import DamagedError, Entry, Writer, describe, load
from regraft.errors import RegraftError
from regraft.fingerprint import check_plain
from regraft.paths import take

_KEY = "[0-9a-f]{64}"
_FOLDER = re.compile(rf"{_KEY}(\.[0-9a-f]{{32}}\.part)?")
_IDLE = 24 * 3600  # seconds without a write after which a writer that has no lock is taken for dead
_log = logging.getLogger(__name__)


class NotStoredError(RegraftError):
    """The array was not kept, and nothing is left of the attempt; one can go on without."""


class Store:
    """Arrays by their keys in the folder `root`, at most `max_bytes` of them; None: no limit.

    An entry is a folder `<key>/`, written under another name and then renamed: it is there whole
    or not at all. `<key>.lock` is held meanwhile, so processes that race compute once; on a file
    system without locks they may compute twice. An entry's bytes are checked (see entry.py).
    """

    def __init__(self, root: Path, max_bytes: int | None = None) -> None:
        self.root, self.max_bytes = root, max_bytes

    def fits(self, nbytes: int) -> bool:
        """Whether an array of so many bytes can be kept once others have made room for it."""
        return self.max_bytes is None or nbytes <= self.max_bytes

    def require_room(self, shape: tuple[int, ...], dtype: DTypeLike) -> None:
        """Raises NotStoredError for an array that cannot be kept, whatever its key: to be asked
        before a key is made that takes long."""
        nbytes = math.prod(shape) * np.dtype(dtype).itemsize
        if not self.fits(nbytes):
            raise NotStoredError(f"{self._too_small(nbytes)}; give it a larger one")
        if self.is_useless():
            raise NotStoredError(f"{self.root}: not writable; set REGRAFT_CACHE to another folder")

    def is_useless(self) -> bool:
        """Whether nothing is in the folder, and nothing can be written into it."""
        try:
            self.root.mkdir(parents=True, exist_ok=True)
        except OSError:
            return True
        return not os.access(self.root, os.W_OK | os.X_OK) and not self.entries()

    def get(self, key: str) -> np.ndarray | None:
        """The array, memory-mapped and read-only; None if it is not there, or not intact."""
        try:
            return load(self._folder(key))
        except (OSError, DamagedError):
            return None

    def compute(
        self,
        key: str,
        shape: tuple[int, ...],
        dtype: DTypeLike,
        chunks: Iterable[np.ndarray],
        about: dict[str, Any],
    ) -> np.ndarray:
        """The array as `get` gives it; where it is missing, made of `chunks`: its rows, in order.

        Nothing is drawn from `chunks` if the array is there, or comes from another process, for
        which this one waits. A damaged entry is replaced. `about` is plain data for people to
        read, written down once all chunks are drawn. Raises NotStoredError for a full disk, a
        folder that cannot be written and an array beyond the budget, ValueError for chunks that
        do not make the array, and what `chunks` raises.
        """
        check_plain(about, "about")
        nbytes = math.prod(shape) * np.dtype(dtype).itemsize
        if (array := self.get(key)) is not None:
            return array
        if not self.fits(nbytes):
            raise NotStoredError(f"{self._too_small(nbytes)}; give it a larger one")
        with self._complaining(nbytes):
            self.root.mkdir(parents=True, exist_ok=True)
        with self._lock(key, "waiting for another process to compute these features") as own:
            with self._complaining(nbytes):
                if (array := self._repaired(key)) is not None:
                    return array
                if own:
                    for leftover in self.root.glob(f"{key}.*.part"):
                        shutil.rmtree(leftover, ignore_errors=True)
            self._write(key, shape, np.dtype(dtype), chunks, about)
        if (array := self.get(key)) is None:
            raise NotStoredError(f"{self._folder(key)} was lost as soon as it was written")
        return array

    def entry(self, key: str) -> Entry | None:
        """What is known about an array without reading it."""
        return describe(self._folder(key))

    def entries(self) -> list[Entry]:
        """What is in the store: what is unfinished, then the arrays, last used last."""
        try:
            folders = [path for path in self.root.iterdir() if _FOLDER.fullmatch(path.name)]
        except OSError:
            return []
        return in_order(entry for folder in folders if (entry := describe(folder)))

    def prune(
        self, *, max_bytes: int | None = None, unused_since: float | None = None
    ) -> list[Entry]:
        """Remove what dead writers left, what was not used since that time (seconds since 1970),
        and then the least recently used until `max_bytes` are left; returns what was removed.

        What is being written stays. A process of this machine that has an array open can go on
        reading it; over a network file system it may lose it.
        """
        return pruned(self.entries(), self.remove, max_bytes=max_bytes, unused_since=unused_since)

    def _folder(self, key: str) -> Path:
        if not re.fullmatch(_KEY, key):
            raise ValueError(f"not a key: {key!r}")
        return self.root / key

    def _repaired(self, key: str) -> np.ndarray | None:
        try:
            return load(self._folder(key))
        except DamagedError as error:
            _log.info("%s: %s", self._folder(key), error)
            _log.warning("%s: a damaged entry was removed and is computed again", self.root)
            shutil.rmtree(self._folder(key))
        return None

    def _write(
        self,
        key: str,
        shape: tuple[int, ...],
        dtype: np.dtype,
        chunks: Iterable[np.ndarray],
        about: dict[str, Any],
    ) -> None:
        nbytes = math.prod(shape) * dtype.itemsize
        part = self.root / f"{key}.{uuid.uuid4().hex}.part"
        try:
            # One at a time looks for room, and takes it before the next one looks.
            with self._complaining(nbytes), self._lock("room"):
                self._make_room(nbytes)
                writer = Writer(part, shape, dtype)
            with writer:
                for chunk in chunks:  # whose own OSErrors are no complaint about the store
                    with self._complaining(nbytes):
                        writer.append(chunk)
                with self._complaining(nbytes):
                    writer.finish(about)
            with self._complaining(nbytes):
                self._publish(part, key)
        finally:
            shutil.rmtree(part, ignore_errors=True)

    def _publish(self, part: Path, key: str) -> None:
        try:
            part.rename(self._folder(key))
        except OSError:
            if self.get(key) is None:  # where there are no locks, another may have come first
                raise

    def _make_room(self, nbytes: int) -> None:
        if self.max_bytes is None:
            return
        self.prune(max_bytes=self.max_bytes - nbytes)
        if sum(entry.bytes for entry in self.entries()) > self.max_bytes - nbytes:
            raise NotStoredError(f"{self._too_small(nbytes)} beside what is in use")

    def remove(self, entry: Entry) -> bool:
        """Whether it could be removed; what is being written is left."""
        try:
            with self._lock(entry.key, wait=False) as own:
                if not own and not entry.finished and time.time() - entry.used < _IDLE:
                    return False
                shutil.rmtree(entry.folder)
                if own:
                    (self.root / f"{entry.key}.lock").unlink()
        except OSError:  # a Timeout is one
            return False
        return True

    @contextmanager
    def _lock(self, name: str, notice: str = "", *, wait: bool = True) -> Iterator[bool]:
        """Hold a lock: True; go on without one where there are none: False.

        A person who has to wait reads the notice. Without waiting, raises Timeout.
        """
        lock = take(self.root / f"{name}.lock", notice, wait=wait)
        try:
            yield lock is not None
        finally:
            if lock is not None:
                lock.release()

    @contextmanager
    def _complaining(self, nbytes: int) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            hint = "make room with `regraft cache prune`, or " if full else ""
            raise NotStoredError(
                f"{self.root}: {error.strerror or error}; {decimal(nbytes)} could not be kept: "
                f"{hint}set REGRAFT_CACHE to another folder"
            ) from error

    def _too_small(self, nbytes: int) -> str:
        budget = decimal(self.max_bytes or 0)
        return f"{self.root}: a budget of {budget} is too small for {decimal(nbytes)}"


def pruned(
    entries: Iterable[Entry],
    remove: Callable[[Entry], bool],
    *,
    max_bytes: int | None,
    unused_since: float | None,
) -> list[Entry]:
    """What was removed of entries: see `Store.prune`."""
    removed = []
    ordered = in_order(entries)
    total = sum(entry.bytes for entry in ordered)
    for entry in ordered:
        old = unused_since is not None and entry.used < unused_since
        much = max_bytes is not None and total > max_bytes
        if (old or much or not entry.finished) and remove(entry):
            removed.append(entry)
            total -= entry.bytes
    return removed


def in_order(entries: Iterable[Entry]) -> list[Entry]:
    """What is unfinished, then the others, last used last."""
    return sorted(entries, key=lambda entry: (entry.finished, entry.used))
