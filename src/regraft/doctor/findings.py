"""What a check has found, how bad that is and what to do; and how a person or a script reads it."""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Literal

from rich.console import Console
from rich.table import Table
from rich.text import Text

Level = Literal["green", "yellow", "red"]
WORDS: dict[Level, str] = {"green": "ok", "yellow": "warning", "red": "error"}
_ROWS = 12  # of a table, for a person
_WIDTH = 20  # of a check's name


@dataclass(frozen=True)
class Finding:
    """One line of a diagnosis; what is not green comes with its fix."""

    check: str
    level: Level
    found: str
    fix: str | None = None
    table: Mapping[str, Mapping[str, int]] = field(default_factory=dict)


def green(check: str, found: str) -> Finding:
    """All is well, or there is something to know."""
    return Finding(check, "green", found)


def yellow(check: str, found: str, fix: str) -> Finding:
    """The training would run, and might disappoint."""
    return Finding(check, "yellow", found, fix)


def red(check: str, found: str, fix: str) -> Finding:
    """The training would fail, or its result would be wrong."""
    return Finding(check, "red", found, fix)


class Budget:
    """Seconds that a slow check may take."""

    def __init__(self, seconds: float) -> None:
        self.end = time.monotonic() + seconds

    @property
    def spent(self) -> bool:
        return time.monotonic() >= self.end


def show(findings: Sequence[Finding], console: Console, seconds: float) -> None:
    """Print what there is to count, then a line for each finding and one for its fix."""
    for finding in findings:
        if finding.table:
            console.print(_table(finding.table))
    for finding in findings:
        line = Text(f"{WORDS[finding.level]:9}", f"bold {finding.level}")
        line.append(f"{finding.check:{_WIDTH}}", "bold").append(finding.found, "default")
        console.print(line, soft_wrap=True, highlight=False)
        if finding.fix:
            console.print(Text(f"{'':9}{'→':>{_WIDTH - 1}} {finding.fix}"), soft_wrap=True)
    counts = {level: sum(f.level == level for f in findings) for level in WORDS}
    words = f"{many(counts['red'], 'error')}, {many(counts['yellow'], 'warning')}"
    console.print(f"{words}, {counts['green']} ok; it took {seconds:.0f} s", highlight=False)


def as_json(findings: Sequence[Finding]) -> str:
    """A list with an object for each finding: check, level, found, fix, and table where it has."""
    plain = [asdict(finding) for finding in findings]
    kept = [{name: value for name, value in one.items() if value != {}} for one in plain]
    return json.dumps(kept, indent=1, ensure_ascii=False)


def many(count: int, noun: str) -> str:
    """So many of something.

    >>> many(1, "image"), many(2000, "image")
    ('1 image', '2,000 images')
    """
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _table(rows: Mapping[str, Mapping[str, int]]) -> Table:
    table = Table()
    table.add_column("class")
    for column in next(iter(rows.values())):
        table.add_column(column, justify="right")
    shown = _ROWS if len(rows) <= _ROWS else _ROWS - 1
    for name, cells in [*rows.items()][:shown]:
        table.add_row(Text(name), *(f"{cell:,}" for cell in cells.values()))
    if len(rows) > shown:
        table.add_row(f"and {len(rows) - shown} more")
    return table
