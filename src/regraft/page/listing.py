"""The table of all jobs: which columns there are, and what stands in each cell."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from regraft.comparison import Sweep
from regraft.jobs import Job
from regraft.page.job import interval, number

MOST_CHOICES = 40  # values of a setting that can be chosen from a list

# Key, heading, how it is written, and where the job has it.
_NUMBERS: tuple[tuple[str, str, str, str], ...] = (
    ("test/acc", "test acc", "{:.3f}", "metrics"),
    ("val/acc", "val acc", "{:.3f}", "metrics"),
    ("macro_f1", "macro F1", "{:.3f}", "judged"),
    ("loss", "loss", "{:.3f}", "judged"),
    ("ece", "ECE", "{:.3f}", "judged"),
    ("ece_uncalibrated", "ECE before", "{:.3f}", "judged"),
    ("wall_s", "seconds", "{:,.1f}", "cost"),
    ("images_forwarded", "images", "{:,.0f}", "cost"),
    ("params_trained", "trained", "{:,.0f}", "cost"),
    ("train", "train images", "{:,.0f}", "data"),
)


@dataclass(frozen=True)
class Cell:
    """What stands there, and by which number it is sorted, if by one."""

    text: str
    value: float | None = None


@dataclass(frozen=True)
class Column:
    """One column: `choices` are the values that it can be filtered by, none where there is only
    one or there are very many."""

    key: str
    label: str
    numeric: bool
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Listing:
    columns: tuple[Column, ...]
    rows: tuple[tuple[Job, tuple[Cell, ...]], ...]


def of(sweep: Sweep) -> Listing:
    """All jobs: what was swept first, then what came of it and what it cost."""
    texts = {key: [one.setting(key) for one in sweep.jobs] for key in sweep.swept}
    if len(sweep.seeds) > 1 or not sweep.swept:
        texts["seed"] = [_whole(one.seed) for one in sweep.jobs]
    if sweep.folds:
        texts["fold"] = [_whole(one.fold) for one in sweep.jobs]
    texts["status"] = [one.status for one in sweep.jobs]
    numbers = [
        wanted
        for wanted in _NUMBERS
        if any(number(getattr(one, wanted[3]).get(wanted[0])) is not None for one in sweep.jobs)
    ]
    columns = [Column("job", "job", True)]
    columns += [Column(key, key, False, _choices(values)) for key, values in texts.items()]
    columns += [Column(key, label, True) for key, label, _, _ in numbers]
    judged = next((key for key, *_ in numbers if key in ("test/acc", "val/acc")), None)
    if judged and any(interval(one) for one in sweep.jobs):
        columns.insert([column.key for column in columns].index(judged) + 1, INTERVAL)
    rows = []
    for index, one in enumerate(sweep.jobs):
        cells = [Cell(str(one.number), one.number)]
        cells += [Cell(values[index]) for values in texts.values()]
        for key, _, form, part in numbers:
            value = number(getattr(one, part).get(key))
            cells.append(Cell("") if value is None else Cell(form.format(value), value))
            if key == judged and INTERVAL in columns:
                low, high = interval(one) or (None, None)
                cells.append(Cell("" if low is None else f"{low:.3f}–{high:.3f}", low))
        rows.append((one, tuple(cells)))
    return Listing(tuple(columns), tuple(rows))


INTERVAL = Column("interval", "95 %", True)


def _whole(number: int | None) -> str:
    return "" if number is None else str(number)


def _choices(values: Sequence[str]) -> tuple[str, ...]:
    """The different ones; numbers by their value."""
    found = sorted(set(values), key=_rank)
    return tuple(found) if 1 < len(found) <= MOST_CHOICES else ()


def _rank(text: str) -> tuple[bool, float, str]:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    return (False, value, text) if math.isfinite(value) else (True, 0.0, text)
