"""What things are, told by their content alone: another pixel, another fingerprint."""

import hashlib
import json
import math
import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from regraft.errors import RegraftError

Identity = tuple[int, int, int, int, int]

_CHUNK_BYTES = 2**24
_FILES = 64  # that a thread takes at a time: one by one, threads halve the speed on a warm disk
_THREADS = 8
_TICK_NS = 2 * 10**9  # the coarsest time stamps in use (FAT)
_known: dict[Identity, bytes] = {}


def key(**ingredients: Any) -> str:
    """SHA-256 of the ingredients as JSON, in hex: another value anywhere is another key.

    Raises TypeError for what is not plain data (see `check_plain`).

    >>> key(size=[32, 32]) == key(size=(32, 32)), key(size=[32, 32]) == key(size=[32, 64])
    (True, False)
    """
    check_plain(ingredients, "key")
    return hashlib.sha256(json.dumps(ingredients, sort_keys=True).encode()).hexdigest()


def check_plain(value: Any, where: str) -> None:
    """Raises TypeError, naming the place, for what JSON cannot say or would say in two ways.

    Plain are None, bools, ints, finite floats, strings, and lists, tuples (the same as lists) and
    dicts by string of these.
    """
    if isinstance(value, dict):
        for name, inner in value.items():
            if type(name) is not str:
                raise TypeError(f"{where}: {name!r} is not a string")
            check_plain(inner, f"{where}.{name}")
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            check_plain(inner, f"{where}[{index}]")
    elif type(value) not in (bool, int, float, str, type(None)):
        raise TypeError(f"{where} is a {type(value).__name__}, not plain data")
    elif isinstance(value, float) and not math.isfinite(value):
        raise TypeError(f"{where} is {value}, which JSON cannot say")


def fingerprint(images: np.ndarray | Sequence[Path]) -> str:
    """SHA-256 of an array's dtype, shape and bytes, or of the bytes of image files in their order.

    An array is read piece by piece, so that a memory map is never loaded whole. A file that was
    read before in this process, and has not changed, is not read again. Raises RegraftError,
    naming the file, for one that cannot be read.
    """
    if isinstance(images, np.ndarray):
        return _of_array(images)
    digest = hashlib.sha256(b"files")
    for part in digests(images):
        digest.update(part)
    return digest.hexdigest()


def digests(files: Sequence[Path]) -> Iterator[bytes]:
    """SHA-256 of the bytes of each file, in their order; errors as `fingerprint` has them."""
    groups = [files[start : start + _FILES] for start in range(0, len(files), _FILES)]
    with ThreadPoolExecutor(_THREADS) as threads:
        yield from chain.from_iterable(threads.map(_digests, groups))


def identity(stat: os.stat_result) -> Identity | None:
    """What differs once a file has changed; None if it changed too lately to tell by its times.

    Two writes within a tick of the clock leave the same times. The rule is git's for index
    entries that are "racily clean".
    """
    if time.time_ns() - max(stat.st_mtime_ns, stat.st_ctime_ns) < _TICK_NS:
        return None
    return stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns


def _of_array(images: np.ndarray) -> str:
    digest = hashlib.sha256(f"array {images.dtype.str} {images.shape}".encode())
    rows = max(1, _CHUNK_BYTES // max(1, images[:1].nbytes))
    for start in range(0, len(images), rows):
        digest.update(as_bytes(images[start : start + rows]))
    return digest.hexdigest()


def as_bytes(array: np.ndarray) -> memoryview:
    """The bytes of an array in C order, copied only if they lie otherwise."""
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data


def _digests(paths: Sequence[Path]) -> list[bytes]:
    return [_digest(path) for path in paths]


def _digest(path: Path) -> bytes:
    try:
        seen = identity(path.stat())
        if seen in _known:
            return _known[seen]
        with path.open("rb", buffering=0) as file:
            seen = identity(os.fstat(file.fileno()))
            digest = hashlib.file_digest(file, "sha256").digest()
    except OSError as error:
        reason = "no such file" if isinstance(error, FileNotFoundError) else "cannot be read"
        raise RegraftError(
            f"{str(path)!r}: {reason} ({type(error).__name__}); repair the file or delete it"
        ) from error
    if seen is not None:
        _known[seen] = digest
    return digest
