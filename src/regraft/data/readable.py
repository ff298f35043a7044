"""Which image files cannot be read, found out by reading them: `data.on_error=skip` leaves them."""

import logging
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from regraft.data.transforms import UnreadableImageError, decode, no_warnings
from regraft.fingerprint import Identity, identity

OnError = Literal["fail", "skip"]

_log = logging.getLogger(__name__)
_known: dict[Identity, str] = {}  # why a file cannot be read, or "" if it can


@dataclass(frozen=True)
class Skipped:
    """An image that was left out, by the name that predictions.csv would give it."""

    name: str
    reason: str


def unreadable(paths: Sequence[Path]) -> dict[Path, str]:
    """The files that are no images, damaged or not there, and why.

    Every file is decoded, as nothing less finds one that is cut off; one that was decoded before
    in this process, and has not changed, is not decoded again.
    """
    _log.info("reading %d images to leave out those that cannot be read", len(paths))
    # Decoders let other threads run.
    with no_warnings(), ThreadPoolExecutor(os.cpu_count()) as threads:
        reasons = threads.map(_reason, paths, chunksize=1)
        return {path: reason for path, reason in zip(paths, reasons, strict=True) if reason}


def _reason(path: Path) -> str:
    try:
        seen = identity(path.stat())
    except OSError as error:
        return f"{type(error).__name__}: {error.strerror}"
    if seen is not None and seen in _known:
        return _known[seen]
    try:
        decode(path)
    except UnreadableImageError as error:
        reason = f"{type(error.__cause__).__name__}: {error.__cause__}".replace(str(path), "")
    else:
        reason = ""
    if seen is not None:
        _known[seen] = reason
    return reason
