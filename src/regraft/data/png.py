"""PNG files whose metadata keeps Pillow from their pixels."""

import io
from collections.abc import Iterator
from pathlib import Path

_SIGNATURE = 8  # bytes
_KEPT = {b"IHDR", b"PLTE", b"tRNS", b"eXIf", b"IDAT", b"IEND"}


def without_metadata(path: Path) -> io.BytesIO:
    """The same file with nothing but what its pixels and their orientation need.

    Texts and profiles may unpack to any size, so Pillow refuses those above a megabyte; whoever
    looks at the picture needs none of them. What is cut off stays cut off.
    """
    content = path.read_bytes()
    return io.BytesIO(content[:_SIGNATURE] + b"".join(_chunks(content)))


def _chunks(content: bytes) -> Iterator[bytes]:
    """Those that are kept, each with its length, name and checksum."""
    start = _SIGNATURE
    while start < len(content):
        end = start + 12 + int.from_bytes(content[start : start + 4])
        if content[start + 4 : start + 8] in _KEPT:
            yield content[start:end]
        start = end
