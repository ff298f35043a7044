"""What is said of images, as rows of a CSV, Parquet or JSON lines file, written as they come."""

import csv
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple, TextIO

import numpy as np

from regraft.errors import RegraftError, did_you_mean
from regraft.escaping import in_csv

FORMATS = (".csv", ".parquet", ".jsonl")
_ROWS = 2**14  # of Parquet that are written together


class Answers(NamedTuple):
    """What is said of a batch of images, the most probable of their classes first."""

    paths: Sequence[str]  # (B,)
    top: np.ndarray  # classes, int (B, k)
    probabilities: np.ndarray  # calibrated, float (B, k)
    abstained: np.ndarray  # bool (B,): the first class had better not be believed


Write = Callable[[Answers], None]
Open = Callable[[Path, Sequence[str], int], Any]


def answers(probabilities: np.ndarray, paths: Sequence[str], top: int, abstained: Any) -> Answers:
    """The `top` classes of probabilities (B, num_classes); of equal ones the first."""
    order = np.argsort(-probabilities, axis=1, kind="stable")[:, :top]
    return Answers(paths, order, np.take_along_axis(probabilities, order, 1), abstained)


def format_of(out: Path) -> Open:
    """What opens a file of this suffix to be written, given the classes and how many are told.

    Raises RegraftError for another suffix, and for Parquet where pyarrow is not installed.
    """
    suffix = out.suffix.lower()
    if suffix not in FORMATS:
        hint = did_you_mean(suffix, FORMATS)
        raise RegraftError(f"--out={out}: must end in {', '.join(FORMATS)}{hint}")
    if suffix == ".parquet" and find_spec("pyarrow") is None:
        raise RegraftError(f"writing {out.name} needs pyarrow: pip install 'regraft[parquet]'")
    return {".csv": _csv_file, ".parquet": _parquet, ".jsonl": _json_lines}[suffix]


@contextmanager
def _csv_file(path: Path, classes: Sequence[str], top: int) -> Iterator[Write]:
    with path.open("w", newline="", encoding="utf-8") as file:
        yield csv_lines(file, classes, top)


def csv_lines(file: TextIO, classes: Sequence[str], top: int) -> Write:
    """Writes the header, and then a line per image with the further classes at its end."""
    writer = csv.writer(file, lineterminator="\n")
    further = [f"{name}_{n}" for n in range(2, top + 1) for name in ("class", "probability")]
    writer.writerow(["path", "class", "probability", "abstained", *further])
    safe = [in_csv(name) for name in classes]

    def write(batch: Answers) -> None:
        for path, chosen, shares, abstained in zip(*_plain(batch), strict=True):
            pairs = [(safe[c], f"{p:.6f}") for c, p in zip(chosen, shares, strict=True)]
            rest = (cell for pair in pairs[1:] for cell in pair)
            writer.writerow([in_csv(path), *pairs[0], str(abstained).lower(), *rest])
        file.flush()

    return write


@contextmanager
def _json_lines(path: Path, classes: Sequence[str], top: int) -> Iterator[Write]:
    with path.open("w", encoding="utf-8") as file:

        def write(batch: Answers) -> None:
            for row in _rows(batch, classes):
                file.write(json.dumps(row, ensure_ascii=False) + "\n")

        yield write


@contextmanager
def _parquet(path: Path, classes: Sequence[str], top: int) -> Iterator[Write]:
    import pyarrow as pa
    from pyarrow.parquet import ParquetWriter

    fields = {"path": pa.string(), "class": pa.string(), "probability": pa.float64()}
    fields |= {"abstained": pa.bool_(), "top_classes": pa.list_(pa.string())}
    schema = pa.schema(fields | {"top_probabilities": pa.list_(pa.float64())})
    held: list[dict[str, Any]] = []
    with ParquetWriter(path, schema) as writer:

        def write_held() -> None:
            if held:
                writer.write_table(pa.Table.from_pylist(held, schema))
            held.clear()

        def write(batch: Answers) -> None:
            held.extend(_rows(batch, classes))
            if len(held) >= _ROWS:
                write_held()

        yield write
        write_held()


def _rows(batch: Answers, classes: Sequence[str]) -> Iterator[dict[str, Any]]:
    for path, chosen, shares, abstained in zip(*_plain(batch), strict=True):
        names, rounded = [classes[index] for index in chosen], [round(p, 6) for p in shares]
        row = {"path": path, "class": names[0], "probability": rounded[0], "abstained": abstained}
        yield row | {"top_classes": names, "top_probabilities": rounded}


def _plain(batch: Answers) -> tuple[Sequence[Any], ...]:
    arrays = (batch.top, batch.probabilities, batch.abstained)
    return batch.paths, *(array.tolist() for array in arrays)
