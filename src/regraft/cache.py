"""What a person sees of the cache, and removes from it. It must not import torch: it is slow."""

import math
import re
import shutil
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.filesize import decimal
from rich.markup import escape
from rich.table import Table

from regraft.entry import Entry, describe
from regraft.errors import RegraftError
from regraft.paths import cache_folder, features_folder, file_lock, weights_folder
from regraft.store import Store, pruned

_ABOUT = ("backbone", "stages", "data", "views")
_COLUMNS: dict[str, Any] = {
    "key": "left",
    "features of": "left",
    "rows": "right",
    "dtype": "left",
    "size": "right",
    "unused for": "right",
}
_WEIGHTS = re.compile(r"[0-9a-f]{64}|\.([0-9a-f]{64})(\.[0-9a-f]{32})?\.part")
_SECONDS = {"w": 7 * 24 * 3600, "d": 24 * 3600, "h": 3600, "m": 60}


def show(console: Console) -> None:
    """Print what is in the store of features, last used first, and how large the cache is."""
    _refuse_a_file()
    entries = Store(features_folder()).entries()[::-1]
    if entries:
        table = Table()
        for name, justify in _COLUMNS.items():
            table.add_column(name, justify=justify, no_wrap=name != "features of")
        for entry in entries:
            table.add_row(*map(escape, _cells(entry)))
        console.print(table)
        line = f"{_count(entries)} in {features_folder()}"
    else:
        line = (
            f"no features in {features_folder()}: the first job that keeps stages frozen adds some"
        )
    _say(console, line)
    if fractals := _size(cache_folder() / "fractals"):
        _say(console, f"{decimal(fractals)} of rendered images in {cache_folder() / 'fractals'}")
    if weights := _size(weights_folder()):
        _say(console, f"{decimal(weights)} of pretrained weights in {weights_folder()}")


def prune(console: Console, *, older_than: str | None, max_gb: str | None) -> None:
    """Remove features and pretrained weights unused for an age such as 30d, and then what of both
    exceeds so many GB (10^9 bytes), the least recently used first.

    Raises RegraftError unless it is told one of them, in words that it understands.
    """
    if older_than is None and max_gb is None:
        raise RegraftError("say what to remove: --older-than 30d, --max-gb 5 or --all")
    _refuse_a_file()
    store = Store(features_folder())
    weights = _weights()
    removed = pruned(
        [*store.entries(), *weights],
        lambda entry: _remove(entry) if entry in weights else store.remove(entry),
        unused_since=None if older_than is None else time.time() - _age(older_than),
        max_bytes=None if max_gb is None else _bytes(max_gb),
    )
    features = [entry for entry in removed if entry not in weights]
    _say(console, f"removed {_count(features)}; left: {_count(store.entries())} in {store.root}")
    if weights:
        gone, left = _count([e for e in removed if e in weights]), _count(_weights())
        where = weights_folder()
        _say(console, f"removed {gone} of pretrained weights; left: {left} in {where}")


def _weights() -> list[Entry]:
    """Pretrained weights (pretrain/phase.py), and what is left of such as were not finished."""
    try:
        folders = [path for path in weights_folder().iterdir() if _WEIGHTS.fullmatch(path.name)]
    except OSError:
        return []
    return [entry for folder in folders if (entry := describe(folder))]


def _remove(weights: Entry) -> bool:
    """Whether they could be removed; what a job is making is left (paths.make_whole)."""
    name = weights.folder.name.removeprefix(".").partition(".")[0]
    try:
        with file_lock(weights.folder.with_name(f".{name}.lock")).acquire(blocking=False):
            shutil.rmtree(weights.folder)
    except (OSError, NotImplementedError):  # a Timeout is one
        return False
    return True


def _refuse_a_file() -> None:
    for folder in (cache_folder(), features_folder()):
        if folder.exists() and not folder.is_dir():
            raise RegraftError(f"{folder} is a file; remove it or set REGRAFT_CACHE to a folder")


def _cells(entry: Entry) -> list[str]:
    about, shape = entry.record.get("about"), entry.record.get("shape")
    what = [str(about[name]) for name in _ABOUT if name in about] if isinstance(about, dict) else []
    words = ", ".join(what) if entry.record else "(damaged)"
    rows = f"{shape[0]:,}" if isinstance(shape, list) and shape else ""
    return [
        entry.key[:8],
        words if entry.finished else "(unfinished)",
        rows,
        str(entry.record.get("dtype", "")),
        decimal(entry.bytes),
        _in_words(time.time() - entry.used),
    ]


def _in_words(age: float) -> str:
    """An age as `--older-than` takes it, rounded down.

    >>> _in_words(50 * 3600), _in_words(59)
    ('2d', '0m')
    """
    unit = next((unit for unit in ("d", "h") if age >= _SECONDS[unit]), "m")
    return f"{max(age, 0) // _SECONDS[unit]:.0f}{unit}"


def _count(entries: list[Entry]) -> str:
    noun = "entry" if len(entries) == 1 else "entries"
    return f"{len(entries)} {noun}, {decimal(sum(entry.bytes for entry in entries))}"


def _say(console: Console, line: str) -> None:
    console.print(line, highlight=False, markup=False, soft_wrap=True)


def _size(folder: Path) -> int:
    try:
        return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    except OSError:
        return 0


def _age(text: str) -> float:
    """Seconds in an age.

    >>> _age("1.5h")
    5400.0
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([mhdw])", text.strip())
    if not found:
        raise RegraftError(f"--older-than {text}: give a number and m, h, d or w, such as 30d")
    return float(found[1]) * _SECONDS[found[2]]


def _bytes(text: str) -> int:
    try:
        gigabytes = float(text)
    except ValueError:
        gigabytes = math.nan
    if not 0 <= gigabytes < math.inf:
        raise RegraftError(f"--max-gb {text}: give how many GB may be left, such as 5")
    return int(gigabytes * 10**9)
