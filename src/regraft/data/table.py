"""The rows of a table of images, a CSV or Parquet file, and what its columns are called."""

import codecs
import csv
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from importlib.util import find_spec
from itertools import chain
from pathlib import Path
from typing import Any, TextIO

from regraft.data.labels import as_text, as_written, folded, whole_numbers
from regraft.errors import RegraftError, did_you_mean

SEPARATORS = (",", ";", "\t", "|")
PARQUET = (".parquet", ".pq")
NOT_READ = (".json", ".jsonl", ".xls", ".xlsx", ".ods", ".arrow", ".feather", ".zip", ".gz")
_SEP = re.compile(r'(?i)"?sep=(.)"?')  # the first line with which Excel says what parts the fields
_SHOWN = 80  # bytes of a line that cannot be read
_MARKS = (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_NO_TEXT = {
    b"PK\x03\x04": "no CSV, but a workbook (xlsx, ods) or a zip; save its sheet as CSV UTF-8",
    b"\xd0\xcf\x11\xe0": "no CSV, but a workbook of Excel (xls); save its sheet as CSV UTF-8",
    b"\x1f\x8b": "no CSV, but compressed with gzip; unpack it",
    b"PAR1": "no CSV, but begins like Parquet; call it .parquet",
    b"version https://git-lfs": "a pointer of git-lfs; fetch the table: git lfs pull",
    b"<!doctype html": "no CSV, but a web page; download the table itself",
    b"<!DOCTYPE html": "no CSV, but a web page; download the table itself",
    b"<html": "no CSV, but a web page; download the table itself",
}  # by what it begins with


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
    label: str  # "" where there is none
    split: str | None
    group: str | None


def read(file: Path, columns: Columns, encoding: str | None = None) -> tuple[Columns, list[Row]]:
    """The columns that are there, and all rows.

    Raises RegraftError, naming the row or the column, for a table that is wrong.
    """
    table = _records(file, columns.path, encoding)
    first = next(table, None)
    if first is None:
        raise RegraftError(f"{file} has no rows")
    columns = _found(columns, first, file)
    rows = list(_rows(columns, chain([first], table), file))
    labels = whole_numbers([row.label for row in rows])
    rows = [replace(row, label=label) for row, label in zip(rows, labels, strict=True)]
    return columns, rows


def paths(file: Path, column: str) -> Iterator[str]:
    """What stands in the column of the paths, row by row, in memory that does not grow.

    Raises RegraftError for a table that cannot be read, or has no such column.
    """
    for record in _records(file, column, None):
        column = _in_its_letters(column, record)
        if column not in record:
            listed = ", ".join(map(repr, record))
            hint = did_you_mean(column, record) or "; give it with --path-column"
            raise RegraftError(f"{file} has no column '{column}', only {listed}{hint}")
        yield str(record[column] or "").strip()


def spelt_as_on_disk(base: Path, name: str) -> Path:
    """The file, also if table and disk write é in two ways, as one of them comes from a Mac, or if
    the table is from Windows and writes its paths with backslashes."""
    spellings = dict.fromkeys((name, name.replace("\\", "/")))
    paths = [base / form for name in spellings for form in _forms(name)]
    return next(filter(is_file, paths), paths[0])


def is_file(path: Path) -> bool:
    """Whether it is one; no file has a name that is too long, or holds a NUL."""
    return os.path.isfile(path)  # noqa: PTH113, which raises OSError for such names


def _forms(name: str) -> tuple[str, str, str]:
    return name, unicodedata.normalize("NFC", name), unicodedata.normalize("NFD", name)


def as_posix(base: Path, name: str) -> str:
    """A path from `base` on with slashes, unless a file of this name with backslashes is there."""
    return name if "\\" not in name or is_file(base / name) else name.replace("\\", "/")


def _found(columns: Columns, there: Collection[str], file: Path) -> Columns:
    """The columns with names for those that have none; RegraftError for one that is not there."""
    names: dict[str, Any] = {}  # None for one that is not there
    for key, name in vars(columns).items():
        found = _in_its_letters(key if name is None else name, there)
        names[key] = None if name is None and found not in there else found
    for key, name in names.items():
        may_be_missing = key in ("split", "group") and not name
        if name not in there and not may_be_missing:
            near = did_you_mean(name, there).partition("'")[2].partition("'")[0]
            hint = f"; add data.{key}_column={near or '<column>'}"
            raise RegraftError(
                f"{file} has no column '{name}', only {', '.join(map(repr, there))}{hint}"
            )
    return Columns(**names)


def _in_its_letters(name: str, there: Collection[str]) -> str:
    """The column of this name, or the only one that differs in case, spaces or what is not seen."""
    if not name or name in there:
        return name
    near = [other for other in there if folded(other) == folded(name)]
    return near[0] if len(near) == 1 else name


def _rows(columns: Columns, table: Iterable[dict[str, Any]], file: Path) -> Iterator[Row]:
    for number, record in enumerate(table, start=1):
        for key, name in vars(columns).items():
            if name and isinstance(record.get(name), list | dict):
                raise RegraftError(
                    f"{file}, row {number}: the {key} is {record[name]!r:.80}, no single value; "
                    f"give a column with one for each image: data.{key}_column=<column>"
                )
        text = {key: as_text(record.get(name)) for key, name in vars(columns).items() if name}
        if not (text["path"] or text["label"] or any(map(as_text, record.values()))):
            continue  # as spreadsheets leave them below the last one
        split, group = text.get("split"), text.get("group")
        path = as_written(record[columns.path]) if text["path"] else ""
        yield Row(number, path, text["label"], split or None, folded(group) if group else None)


def _records(file: Path, path_column: str, encoding: str | None) -> Iterator[dict[str, Any]]:
    if (suffix := file.suffix.lower()) in PARQUET:
        return _parquet(file)
    if suffix in NOT_READ:
        raise RegraftError(f"{file}: no {suffix} is read; save it as CSV UTF-8 or Parquet")
    return _csv(file, path_column, encoding or _encoding(file))


def _csv(file: Path, path_column: str, encoding: str) -> Iterator[dict[str, Any]]:
    number = 0  # of the last row that could be read
    try:
        with file.open(encoding=encoding, newline="") as stream:
            table = _reader(stream, path_column)
            header = _header(table, file)
            for fields in filter(None, table):
                number += 1
                yield dict(zip(header, _as_many(fields, header, number, file), strict=False))
    except LookupError as error:
        raise RegraftError(f"data.encoding={encoding}: there is no such encoding") from error
    except UnicodeError as error:
        raise RegraftError(_not_text(file, encoding, error)) from error
    except csv.Error as error:
        raise RegraftError(f"{file}, row {number + 1}: {_in_words(error)}") from error
    except OSError as error:
        raise RegraftError(f"{file} cannot be read as CSV: {error}") from error


def _reader(stream: TextIO, path_column: str) -> Iterator[list[str]]:
    """The fields of each line, the header's first."""
    first = next((line for line in stream if line.strip("\ufeff\r\n ")), "")
    if told := _SEP.fullmatch(first.strip("\ufeff\r\n")):
        return csv.reader(stream, delimiter=told[1], strict=True, skipinitialspace=True)
    separator, lines = _separator(first, path_column), chain([first], stream)
    return csv.reader(lines, delimiter=separator, strict=True, skipinitialspace=True)


def _header(table: Iterator[list[str]], file: Path) -> list[str]:
    """The columns' names; RegraftError for two of one name."""
    header = [name.strip() for name in next(table, [])]
    if twice := [name for name, count in Counter(header).items() if name and count > 1]:
        raise RegraftError(f"{file} has two columns '{twice[0]}'; give one another name")
    return header


def _as_many(fields: list[str], header: list[str], number: int, file: Path) -> list[str]:
    """The fields of a row; RegraftError if there are more than columns, and not only empty ones."""
    if any(field.strip() for field in fields[len(header) :]):
        raise RegraftError(
            f"{file}, row {number}: it has {len(fields)} fields ({', '.join(map(repr, fields))}), "
            f"more fields than there are columns, which are {len(header)}; put quotes around a "
            "field that holds the separator"
        )
    return [*fields, *[""] * (len(header) - len(fields))][: len(header)]


def _in_words(error: csv.Error) -> str:
    """What is wrong with a row, and what to do."""
    if "unexpected end" in str(error):
        return 'it has a quote that is never closed; close it, or write "" for one in the text'
    if "expected after" in str(error):
        return 'text follows a closing quote; put the whole field in quotes, and write "" for one'
    return f"it cannot be read as CSV: {error}"


def _encoding(file: Path) -> str:
    """UTF-8, or what the first bytes say: a mark, or NULs beside ASCII."""
    try:
        with file.open("rb") as stream:
            start = stream.read(40)
    except OSError as error:
        raise RegraftError(f"{file} cannot be read: {error.strerror}") from error
    if what := next((what for begin, what in _NO_TEXT.items() if start.startswith(begin)), ""):
        raise RegraftError(f"{file} is {what}")
    start = start[:4]
    if start.startswith(_MARKS):
        return "utf-32" if start.startswith(_MARKS[:2]) else "utf-16"
    for encoding in ("utf-16-le", "utf-16-be"):
        if 0 in start and start.decode(encoding, errors="replace").isascii():
            return encoding
    return "utf-8-sig"


def _not_text(file: Path, encoding: str, error: UnicodeError) -> str:
    """What to say of a table whose bytes are none of its encoding: the line, and a likelier one."""
    save = "save it as CSV UTF-8"
    if not encoding.startswith("utf-8"):
        return f"{file} cannot be read as {encoding} ({error}); {save}"
    lines = file.read_bytes().splitlines()
    number, line = next((n, line) for n, line in enumerate(lines) if not _is_utf8(line))
    there = f"row {number}" if number else "header"
    line = line[:_SHOWN]
    return (
        f"{file}, {there}: {line!r}, which would be {line.decode('cp1252', errors='replace')!r} in "
        f"Windows' cp1252 (set data.encoding=cp1252 if that is right), is not in UTF-8; {save}"
    )


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True


def _separator(header: str, path_column: str) -> str:
    """What parts the fields: spreadsheets write semicolons where numbers have decimal commas."""

    def score(separator: str) -> tuple[bool, int]:
        fields = next(csv.reader([header], delimiter=separator, skipinitialspace=True), [])
        return path_column in [field.strip() for field in fields], len(fields)

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
