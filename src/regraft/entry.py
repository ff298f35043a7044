"""One array on disk: a folder with data.npy and entry.json, checked before it is believed."""

import errno
import io
import json
import math
import os
import time
import zlib
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from regraft.facts import Identity, identity
from regraft.fingerprint import as_bytes

_DATA, _RECORD = "data.npy", "entry.json"
_BLOCK = 2**20
_CANNOT_RESERVE = (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP)
_intact: set[tuple[Identity, int]] = set()


class DamagedError(Exception):
    """What is wrong with an entry."""


@dataclass(frozen=True)
class Entry:
    """What a folder of the store says about itself: one that is finished, or is being written."""

    folder: Path
    bytes: int
    used: float  # when it was last asked for or written to, in seconds since 1970
    record: dict[str, Any]  # about, shape, dtype, created, seconds, crc32; empty if unreadable

    @property
    def key(self) -> str:
        return self.folder.name[:64]

    @property
    def finished(self) -> bool:
        return self.folder.name == self.key


def describe(folder: Path) -> Entry | None:
    """What can be said without reading the array; None if the folder went away meanwhile."""
    try:
        stats = [path.stat() for path in folder.iterdir()]
        used = max((stat.st_mtime for stat in stats), default=folder.stat().st_mtime)
    except OSError:
        return None
    record = None
    with suppress(OSError, ValueError, RecursionError):
        record = json.loads((folder / _RECORD).read_bytes())
    nbytes = sum(stat.st_size for stat in stats)
    return Entry(folder, nbytes, used, record if isinstance(record, dict) else {})


def load(folder: Path) -> np.ndarray | None:
    """The array, memory-mapped and read-only, and used from now on; None if there is no folder.

    Raises DamagedError unless the CRC-32 of all bytes is the one that was written down. That reads
    the array once per process: 6 GB/s from memory (1 GB/s with a slow zlib), about what one epoch
    takes to read it again. A sample of blocks would miss what befell the others. Raises OSError
    where it cannot be told.
    """
    try:
        record = json.loads((folder / _RECORD).read_bytes())
        with (folder / _DATA).open("rb", buffering=0) as file:
            if not _is_intact(file, record["crc32"]):
                raise DamagedError("data.npy is not what was written")
        array = np.lib.format.open_memmap(folder / _DATA, mode="r")
    except FileNotFoundError as error:
        if not folder.is_dir():
            return None
        raise DamagedError(f"{Path(error.filename).name} is missing") from error
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise DamagedError(f"{type(error).__name__}: {error}") from error
    with suppress(OSError):  # somebody else's, or on a disk that is mounted read-only
        os.utime(folder / _RECORD)
    return array


class Writer:
    """A new folder and the array in it, whose space is taken at once and filled by rows.

    By plain writes, since a full disk kills a process that writes to it through a memory map.
    """

    def __init__(self, folder: Path, shape: tuple[int, ...], dtype: np.dtype) -> None:
        self.folder, self.dtype = folder, dtype
        self.shape = tuple(map(int, shape))  # a numpy integer would spoil the header
        self.rows, self.crc32 = 0, 0
        self.created, self.started = datetime.now(UTC), time.perf_counter()
        header = io.BytesIO()
        descr = np.lib.format.dtype_to_descr(dtype)
        np.lib.format.write_array_header_1_0(
            header, {"descr": descr, "fortran_order": False, "shape": self.shape}
        )
        folder.mkdir()
        self.file = (folder / _DATA).open("xb", buffering=0)
        try:
            self._reserve(header.tell() + math.prod(shape) * dtype.itemsize)
            self._write(header.getbuffer())
        except BaseException:
            self.file.close()
            raise

    def append(self, chunk: np.ndarray) -> None:
        """The next rows; ValueError if they are none of this array."""
        if not chunk.ndim or chunk.dtype != self.dtype or chunk.shape[1:] != self.shape[1:]:
            given = f"{chunk.dtype} {chunk.shape}"
            raise ValueError(f"rows {given} for an array {self.dtype} {self.shape}")
        self.rows += len(chunk)
        if self.rows > self.shape[0]:
            raise ValueError(f"{self.rows} rows or more for an array {self.shape}")
        self._write(as_bytes(chunk))

    def finish(self, about: dict[str, Any]) -> None:
        """Bring the array to the disk, then what is known about it; ValueError if rows are missing.

        `about` is plain data for people to read.
        """
        if self.rows < self.shape[0]:
            raise ValueError(f"{self.rows} rows for an array {self.shape}")
        os.fsync(self.file.fileno())
        record = {
            "about": about,
            "shape": self.shape,
            "dtype": self.dtype.name,
            "created": self.created.isoformat(timespec="seconds"),
            "seconds": round(time.perf_counter() - self.started, 3),
            "crc32": self.crc32,
        }
        with (self.folder / _RECORD).open("x", encoding="utf-8") as file:
            file.write(json.dumps(record, indent=1))
            file.flush()
            os.fsync(file.fileno())

    def __enter__(self) -> "Writer":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.file.close()

    def _reserve(self, nbytes: int) -> None:
        if hasattr(os, "posix_fallocate"):  # not on macOS
            try:
                os.posix_fallocate(self.file.fileno(), 0, nbytes)
            except OSError as error:
                if error.errno not in _CANNOT_RESERVE:
                    raise
        self.file.truncate(nbytes)

    def _write(self, data: memoryview) -> None:
        self.crc32 = zlib.crc32(data, self.crc32)
        while data:
            data = data[self.file.write(data) :]


def _is_intact(file: io.FileIO, expected: int) -> bool:
    seen = identity(os.fstat(file.fileno()))
    if seen is not None and (seen, expected) in _intact:
        return True
    block, crc32 = memoryview(bytearray(_BLOCK)), 0
    while count := file.readinto(block):
        crc32 = zlib.crc32(block[:count], crc32)
    if seen is not None and crc32 == expected:
        _intact.add((seen, expected))
    return crc32 == expected
