"""What things are, told by their content alone: another pixel, another fingerprint."""

import hashlib
import json
import math
from collections.abc import Iterable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from regraft.errors import RegraftError
from regraft.facts import Facts

_CHUNK_BYTES = 2**24
_FILES = 64  # that a thread takes at a time: one by one, threads halve the speed on a warm disk
_THREADS = 8
_known = Facts[bytes]("sha256")


def key(**ingredients: Any) -> str:
    """SHA-256 of the ingredients as JSON, in hex: another value anywhere is another key.

    Raises TypeError for what is not plain data (see `check_plain`).

    >>> key(size=[32, 32]) == key(size=(32, 32)), key(size=[32, 32]) == key(size=[32, 64])
    (True, False)
    """
    check_plain(ingredients, "key")
    return hashlib.sha256(json.dumps(ingredients, sort_keys=True).encode()).hexdigest()


def versions(libraries: Iterable[str]) -> dict[str, str | None]:
    """The version of each library; None for one that is not here."""
    return {name: _version(name) for name in libraries}


def _version(library: str) -> str | None:
    try:
        return metadata.version(library)
    except metadata.PackageNotFoundError:
        return None


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
    read before, by this process or another, and has not changed, is not read again. Raises
    RegraftError, naming the file, for one that cannot be read.
    """
    if isinstance(images, np.ndarray):
        return _of_array(images)
    return hashlib.sha256(b"files" + b"".join(digests(images))).hexdigest()


def digests(files: Sequence[Path]) -> Sequence[bytes]:
    """SHA-256 of the bytes of each file, in their order; errors as `fingerprint` has them."""
    return _known.of(files, _digest, threads=_THREADS, group=_FILES)


def _of_array(images: np.ndarray) -> str:
    digest = hashlib.sha256(f"array {images.dtype.str} {images.shape}".encode())
    rows = max(1, _CHUNK_BYTES // max(1, images[:1].nbytes))
    for start in range(0, len(images), rows):
        digest.update(as_bytes(images[start : start + rows]))
    return digest.hexdigest()


def as_bytes(array: np.ndarray) -> memoryview:
    """The bytes of an array in C order, copied only if they lie otherwise."""
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data


def _digest(path: Path) -> bytes:
    try:
        with path.open("rb", buffering=0) as file:
            return hashlib.file_digest(file, "sha256").digest()
    except OSError as error:
        reason = "no such file" if isinstance(error, FileNotFoundError) else "cannot be read"
        raise RegraftError(
            f"{str(path)!r}: {reason} ({type(error).__name__}); repair the file or delete it"
        ) from error
