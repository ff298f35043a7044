"""Where answers go: standard output, or a file with a list of what was left out beside it."""

import csv
import io
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from regraft.data.readable import Skipped
from regraft.escaping import in_csv
from regraft.paths import whole


def skipped_beside(out: Path) -> Path:
    """Where it is listed what was left out."""
    return out.with_suffix(".skipped.csv")


@contextmanager
def beside(out: Path) -> Iterator[Callable[[Skipped], None]]:
    """Lists images in the file beside `out`, which is there whole, and only if there are any."""
    path, listed = skipped_beside(out), 0
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


@contextmanager
def standard_output() -> Iterator[TextIO]:
    """Standard output in UTF-8 and without a second look at line ends, whatever the terminal's."""
    stream = io.TextIOWrapper(sys.stdout.buffer, encoding="utf-8", newline="")
    try:
        yield stream
        stream.flush()
    finally:
        with suppress(BrokenPipeError):
            stream.detach()
