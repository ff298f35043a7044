"""Which image files cannot be read, found out by reading them: `data.on_error=skip` leaves them."""

import csv
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from PIL import UnidentifiedImageError

from regraft.data.transforms import (
    MOST_PIXELS,
    READER,
    WHITE,
    UnreadableImageError,
    decode,
    no_warnings,
    what_is_wrong,
)
from regraft.environment import cores
from regraft.escaping import in_csv, printable
from regraft.facts import Facts
from regraft.fingerprint import versions
from regraft.paths import whole

OnError = Literal["fail", "skip"]
LEFT_OUT = "left out: "  # begins the reason of a file that is no image to us

_LONGEST = 200  # characters of what a decoder says
_log = logging.getLogger(__name__)
# What reads files, of which some need not be here: once they are, more can be read.
_READ_BY = ("pillow", "pillow-heif", "pydicom")
# Why a file cannot be read, or "" if it can.
_known = Facts[str](f"read by {versions(_READ_BY)}, {READER}, up to {MOST_PIXELS} pixels")


@dataclass(frozen=True)
class Skipped:
    """An image that was left out, by the name that predictions.csv would give it."""

    name: str
    reason: str


@contextmanager
def listing(path: Path) -> Iterator[Callable[[Skipped], None]]:
    """Lists images in a CSV file, which is there whole, and only if there are any."""
    listed = 0
    with whole(path) as unfinished, unfinished.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "reason"])

        def skip(one: Skipped) -> None:
            nonlocal listed
            listed += 1
            writer.writerow([in_csv(one.name), in_csv(one.reason)])

        yield skip
    if not listed:
        path.unlink()


def unreadable(paths: Sequence[Path]) -> dict[Path, str]:
    """The files that are no images, damaged or not there, and why.

    Every file is decoded, as nothing less finds one that is cut off; one that was decoded before,
    by this process or another, and has not changed, is not decoded again.
    """
    _log.info("reading %d images to leave out those that cannot be read", len(paths))
    # Decoders let other threads run.
    with no_warnings():
        reasons = _known.of(paths, _reason, threads=cores(), group=1)
    return {path: reason for path, reason in zip(paths, reasons, strict=True) if reason}


def _reason(path: Path) -> str:
    try:
        decode(path, WHITE)  # any will do
    except UnreadableImageError as error:
        return why(error, path)
    return ""


def why(error: UnreadableImageError, path: Path) -> str:
    """What is wrong with the file, in a few words of one line."""
    cause = error.__cause__ or error
    if isinstance(cause, FileNotFoundError):
        return "no such file"
    if what := what_is_wrong(cause, path):
        return what
    if isinstance(cause, UnidentifiedImageError):
        empty = path.stat().st_size == 0
        return "the file is empty" if empty else "what is in it is no image"
    return printable(cause)[:_LONGEST] or type(cause).__name__
