"""The rows of a table of images, a CSV or Parquet file, and what its columns are called."""

import csv
import unicodedata
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import chain
from pathlib import Path
from typing import Any

from regraft.data.names import spelt
from regraft.errors import RegraftError, did_you_mean

SEPARATORS = (",", ";", "\t")
PARQUET = (".parquet", ".pq")


@dataclass(frozen=True)
class Columns:
    """What the columns are called. The last two may be missing: None stands for the column `split`
    or `group`, if there is one; "" for none."""

    path: str
    label: str
    split: str | None
    group: str | None


@dataclass(frozen=True)
class Row:
    number: int  # in the table, from 1; the header is not counted
    path: str
    label: str
    split: str | None
    group: str | None


def read(file: Path, columns: Columns) -> tuple[Columns, list[Row]]:
    """The columns that are there, and all rows.

    Raises RegraftError, naming the row or the column, for a table that is wrong.
    """
    table = _records(file, columns.path)
    first = next(table, None)
    if first is None:
        raise RegraftError(f"{file} has no rows")
    columns = _found(columns, first, file)
    return columns, list(_rows(columns, chain([first], table), file))


def paths(file: Path, column: str) -> Iterator[str]:
    """What stands in the column of the paths, row by row, in memory that does not grow.

    Raises RegraftError for a table that cannot be read, or has no such column.
    """
    for record in _records(file, column):
        if column not in record:
            listed = ", ".join(map(repr, record))
            hint = did_you_mean(column, record) or "; give it with --path-column"
            raise RegraftError(f"{file} has no column '{column}', only {listed}{hint}")
        yield str(record[column] or "").strip()


def spelt_as_on_disk(base: Path, name: str) -> Path:
    """The file, also if table and disk write é in two ways, as one of them comes from a Mac."""
    forms = (name, unicodedata.normalize("NFC", name), unicodedata.normalize("NFD", name))
    paths = [base / form for form in forms]
    return next((path for path in paths if path.is_file()), paths[0])


def _found(columns: Columns, there: Collection[str], file: Path) -> Columns:
    """The columns with names for those that have none; RegraftError for one that is not there."""
    names = {
        key: key if name is None and key in there else name for key, name in vars(columns).items()
    }
    for key, name in names.items():
        may_be_missing = key in ("split", "group") and not name
        if name not in there and not may_be_missing:
            near = did_you_mean(name, there).partition("'")[2].partition("'")[0]
            hint = f"; add data.{key}_column={near or '<column>'}"
            raise RegraftError(
                f"{file} has no column '{name}', only {', '.join(map(repr, there))}{hint}"
            )
    return Columns(**names)


def _rows(columns: Columns, table: Iterable[dict[str, Any]], file: Path) -> Iterator[Row]:
    for number, record in enumerate(table, start=1):
        text = {
            key: "" if value is None else str(value).strip()
            for key, value in ((k, record.get(n)) for k, n in vars(columns).items() if n)
        }
        for key in ("path", "label"):
            if not text[key]:
                raise RegraftError(f"{file}, row {number}: the {key} is empty")
        split, group = text.get("split"), spelt(text.get("group", ""))
        yield Row(number, text["path"], spelt(text["label"]), split or None, group or None)


def _records(file: Path, path_column: str) -> Iterator[dict[str, Any]]:
    parquet = file.suffix.lower() in PARQUET
    return _parquet(file) if parquet else _csv(file, path_column)


def _csv(file: Path, path_column: str) -> Iterator[dict[str, Any]]:
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            header = stream.readline()
            lines, separator = chain([header], stream), _separator(header, path_column)
            for record in csv.DictReader(lines, delimiter=separator, strict=True):
                if None in record:
                    raise RegraftError(f"{file} has a row of more fields than there are columns")
                yield record
    except UnicodeDecodeError as error:
        raise RegraftError(f"{file} is not in UTF-8; save it as CSV UTF-8") from error
    except (OSError, csv.Error) as error:
        raise RegraftError(f"{file} cannot be read as CSV: {error}") from error


def _separator(header: str, path_column: str) -> str:
    """What parts the fields: spreadsheets write semicolons where numbers have decimal commas."""

    def score(separator: str) -> tuple[bool, int]:
        fields = next(csv.reader([header], delimiter=separator), [])
        return path_column in fields, len(fields)

    return max(SEPARATORS, key=score)


def _parquet(file: Path) -> Iterator[dict[str, Any]]:
    if find_spec("pyarrow") is None:
        raise RegraftError(f"reading {file.name} needs pyarrow: pip install 'regraft[parquet]'")
    import pyarrow
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(file) as table:
            for batch in table.iter_batches():
                yield from batch.to_pylist()
    except (OSError, pyarrow.ArrowException) as error:
        raise RegraftError(f"{file} cannot be read as Parquet: {error}") from error
