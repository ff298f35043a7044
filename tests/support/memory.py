"""How much memory something takes."""

import resource
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

STATM = Path("/proc/self/statm")


@contextmanager
def at_most(more: int) -> Iterator[None]:
    """This process may have so many bytes more than now, of whatever library; else a MemoryError
    (torch: a RuntimeError)."""
    if not STATM.exists():
        pytest.skip("only Linux says how much memory a process has")
    now = int(STATM.read_text().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (now + more, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


@contextmanager
def counted() -> Iterator[list[int]]:
    """At its end, a list of the most bytes that numpy and Python had at once meanwhile."""
    found: list[int] = []
    tracemalloc.start()
    try:
        yield found
        found.append(tracemalloc.get_traced_memory()[1])
    finally:
        tracemalloc.stop()
