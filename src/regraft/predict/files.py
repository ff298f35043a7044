"""Where answers go: standard output, or a file with a list of what was left out beside it."""

import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO


def skipped_beside(out: Path) -> Path:
    """Where it is listed what was left out."""
    return out.with_suffix(".skipped.csv")


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
