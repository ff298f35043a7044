"""What was different between two runs, from their folders alone."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console
from rich.table import Table
from rich.text import Text

from regraft.errors import RegraftError
from regraft.jobs import from_hydra, is_job, load_result
from regraft.masking import masked

# The parts of result.json, by section; the others are said by these or differ always.
PARTS = {
    "environment": ("versions", "git", "machine"),
    "data": ("data", "weights"),
    "result": (
        "status",
        "error",
        "metrics",
        "best_epoch",
        "features",
        "forecast",
        "advice",
        "scores",
        "cost",
    ),
}
SECTIONS = ("config", *PARTS)
ABSENT = "–"

Values = dict[str, Any]  # dotted key → plain value
Differences = dict[str, dict[str, tuple[Any, Any]]]  # section → key → the two values


def show(first: Path, second: Path, console: Console, *, as_json: bool = False) -> None:
    """Print what was different, as a table per section or as data."""
    found = differences(read(first), read(second))
    if as_json:
        runs = [str(first), str(second)]
        print(json.dumps({"runs": runs, "differences": found}, indent=2, default=str))
        return
    for section, values in found.items():
        if values:
            console.print(table(section, values), "")
    if same := [section for section in SECTIONS if not found[section]]:
        console.print(f"no difference in {', '.join(same)}")


def differences(first: Mapping[str, Values], second: Mapping[str, Values]) -> Differences:
    """By section, the keys whose values are not the same; None where a run has no such key."""
    return {
        section: {
            key: (a.get(key), b.get(key))
            for key in dict.fromkeys([*a, *b])
            if a.get(key) != b.get(key)
        }
        for section in SECTIONS
        for a, b in [(first[section], second[section])]
    }


def read(folder: Path) -> dict[str, Values]:
    """What is known of a run, finished or not, by section.

    Raises RegraftError for a folder in which no single job ran.
    """
    if not folder.is_dir():
        raise RegraftError(f"{folder}: no such folder; give the folder of a run")
    if not is_job(folder):
        jobs = sorted(path.name for path in folder.glob("[0-9]*") if is_job(path))
        what = f"a sweep: give one of its jobs, {folder / jobs[0]}" if jobs else "no run's folder"
        raise RegraftError(f"{folder} is {what}")
    record, error = load_result(folder / "result.json")
    if not record and (folder / "result.json").exists() and not (folder / "config.yaml").exists():
        raise RegraftError(f"{folder} is no run's folder: {error}")
    return sections(folder, record, error)


def sections(folder: Path, record: Mapping[str, Any], error: str | None) -> dict[str, Values]:
    """The same of a run whose result.json has been read, or is {} for the reason `error`."""
    record = record or {"status": "unknown", "error": error, **from_hydra(folder / ".hydra")}
    made = {
        name: dict(_flat({part: record.get(part) for part in parts}))
        for name, parts in PARTS.items()
    }
    rows = record.get("plan")
    for row in (row for row in rows if isinstance(row, dict)) if isinstance(rows, list) else ():
        made["result"][f"plan.{row.get('stage')}"] = row.get("action")
    return {"config": _config(folder, record), **made}


# Written in C, where it is there: it takes a twentieth of the time.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def _config(folder: Path, record: Mapping[str, Any]) -> Values:
    """The choices and the settings of a run, without the place where it ran."""
    for path in (folder / "config.yaml", folder / ".hydra" / "config.yaml"):
        try:
            settings = yaml.load(path.read_text(encoding="utf-8"), _LOADER)
        except Exception:  # of a run that was stopped while it wrote it, or before
            continue
        place = str(settings.pop("output_dir", "")) if isinstance(settings, dict) else ""
        values = dict(_flat(masked(settings)))  # Hydra's own copy holds what was typed
        if place:
            values = {
                key: v.replace(place, "${output_dir}") if isinstance(v, str) else v
                for key, v in values.items()
            }
        return {**(record.get("choices") or {}), **values}
    return dict(record.get("choices") or {})


def _flat(node: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in node.items() if isinstance(node, dict) else ():
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{prefix}{key}.")
        elif value is not None:
            yield f"{prefix}{key}", value


def table(section: str, values: Mapping[str, tuple[Any, Any]]) -> Table:
    """One section, readable without colours; numbers with their change."""
    numbers = section == "result" and any(map(_change, values.values()))
    made = Table("key", "first", "second", title=section, title_justify="left")
    if numbers:
        made.add_column("change", justify="right")
    for key, pair in values.items():
        cells = [key, *map(_text, pair), *([_change(pair)] if numbers else [])]
        made.add_row(*(Text(cell, overflow="fold") for cell in cells))
    return made


def _text(value: Any) -> str:
    """A value as it is written in YAML; what a terminal would obey is escaped."""
    if value is None:
        return ABSENT
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def _change(pair: tuple[Any, Any]) -> str:
    a, b = pair
    if any(isinstance(v, bool) or not isinstance(v, int | float) for v in pair):
        return ""
    return f"{b - a:+,}" if isinstance(b - a, int) else f"{b - a:+.4g}"
