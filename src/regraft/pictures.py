"""A job's pictures, drawn from its files: at its end, at its sweep's end, or when asked for."""

import csv
import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from regraft.complaints import explain
from regraft.errors import RegraftError
from regraft.escaping import from_csv
from regraft.figures import fonts, reliability, runs
from regraft.jobs import CALLED, first_columns, font_of, judge, judging, load_result, table

log = logging.getLogger(__name__)


def show(folder: Path, console: Console) -> None:
    """Draw the pictures of a finished job and say how good it was; see `of_job`."""
    drawn = of_job(folder)
    metrics = table(load_result(folder / "result.json")[0], "metrics")
    known = [
        f"{metrics[f'{split}/acc']} {split}"
        for split in ("test", "val")
        if f"{split}/acc" in metrics
    ]
    console.print(Text(f"accuracy {', '.join(known)}"))
    names = ", ".join(path.name for path in drawn)
    console.print(Text(f"{names} in {folder}"), soft_wrap=True)


def of_sweep(
    folders: Iterable[Path], results: Mapping[Path, Mapping[str, Any]] | None = None
) -> None:
    """Draw the pictures of these finished jobs; one that cannot be drawn is a line in the log.

    `results` are what has been read of them already.
    """
    for folder in folders:
        try:
            result = (results or {}).get(folder)
            draw(folder, result) if result else of_job(folder)
        except RegraftError as error:
            log.warning("%s", error)


def of_job(folder: Path) -> tuple[Path, ...]:
    """Draw the pictures of a finished job; RegraftError if it has not finished."""
    result, error = load_result(folder / "result.json")
    if error:
        raise RegraftError(f"{folder}: no pictures, as the job has no result: {error}")
    return draw(folder, result)


def draw(folder: Path, result: Mapping[str, Any]) -> tuple[Path, ...]:
    """Draw a run's pictures from metrics.csv, predictions.csv and its result.

    Marked is the best epoch, or that of the highest validation accuracy. Raises RegraftError if a
    file is missing or damaged.
    """
    drawn = [folder / "curves.png", folder / "confusion_matrix.png"]
    best, calibration = result.get("best_epoch"), table(result, "calibration")
    try:
        best = best if isinstance(best, int) else None
        history = read_history(folder / "metrics.csv")
        tested = read_test(folder / "predictions.csv")
        refuse_a_part(tested[0], result)
        with fonts.asked_first(font_of(result)):
            runs.curves(history, drawn[0], best=best)
            runs.confusion_matrix(*tested, drawn[1])
            if calibration:
                drawn.append(folder / "reliability.png")
                reliability.draw(calibration, drawn[-1], CALLED[judge(table(result, "data"))])
    except (OSError, ValueError, TypeError, LookupError, csv.Error) as error:
        raise RegraftError(f"{folder} cannot be drawn: {explain(error)}") from error
    return tuple(drawn)


def read_history(path: Path) -> list[dict[str, Any]]:
    """A row per epoch, None where nothing was measured."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return [{name: float(text) if text else None for name, text in row.items()} for row in rows]


def refuse_a_part(true: Sequence[int], result: Mapping[str, Any]) -> None:
    """Raises ValueError if there are other test images (N,) than those that the result counts."""
    judged = sum(images for images, *_ in table(result, "calibration").get("before") or ())
    if judged and judged != len(true):
        raise ValueError(f"predictions.csv has {len(true)} of {judged} test images")


def read_test(path: Path) -> tuple[list[int], list[int], list[str]]:
    """True and predicted class of each test image (N,), as indices, and the classes' names."""
    with path.open(encoding="utf-8", newline="") as file:
        classes = [from_csv(name).removeprefix("p_") for name in next(csv.reader(file), [])[4:]]
        if not classes:
            raise ValueError(f"{path.name} names no class")
        index = {name: number for number, name in enumerate(classes)}
        rows = judging(csv.reader(first_columns(file)))
    true, predicted = ([index[from_csv(row[column])] for row in rows] for column in (2, 3))
    return true, predicted, classes
