"""Files whose times differ."""

from collections.abc import Callable
from pathlib import Path


def after_a_tick(path: Path, change: Callable[[Path], object]) -> None:
    """Change a file once the kernel's clock, which ticks every few milliseconds, shows a new time.

    The clock that the kernel writes into files can only be read from files.
    """
    before, probe = path.stat().st_ctime_ns, path.with_name(f"{path.name}.tick")
    probe.touch()
    while probe.stat().st_ctime_ns == before:
        probe.touch()
    probe.unlink()
    change(path)
