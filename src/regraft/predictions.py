"""predictions.csv: what a run said of its validation and test images, written and read again."""

import csv
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from regraft.errors import RegraftError
from regraft.escaping import from_csv, in_csv
from regraft.paths import shown, whole

NAME = "predictions.csv"
HEAD = ["split", "name", "true", "predicted"]
UNIT = 1e-6  # as finely as a probability is read: half of it is nothing to choose by
AHEAD = 0.25  # units that tell which of two was ahead before both were rounded to the same

Rows = tuple[Sequence[str], np.ndarray, Iterable[np.ndarray]]  # names, true classes, probabilities


@dataclass(frozen=True, eq=False)
class Said:
    """What was said of the images of a split, in the order of the file.

    `true` and `predicted` are indices of classes, int (N,); `probabilities` are float64 (N, C).
    """

    names: tuple[str, ...]
    true: np.ndarray
    predicted: np.ndarray
    probabilities: np.ndarray

    def units(self) -> np.ndarray:
        """The probabilities in whole multiples of UNIT, so that sums are exact in any order."""
        units: np.ndarray = np.rint(self.probabilities / UNIT)
        units[np.arange(len(self.true)), self.predicted] += AHEAD
        return units


def write(
    path: Path,
    classes: Sequence[str],
    splits: Mapping[str, Rows],
) -> None:
    """One row per image: split, name, true and predicted class, a probability per class.

    `splits` maps their names to images' names (N,), labels int (N,), probabilities (N, C), which
    may be rows (C,) that are made one after the other.
    """
    with whole(path) as unfinished, unfinished.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(map(in_csv, [*HEAD, *(f"p_{c}" for c in classes)]))
        called = [in_csv(name) for name in classes]
        for split, (names, labels, probabilities) in splits.items():
            # Fewer predictions than images are what debug=fast asks for.
            for name, label, shares in zip(names, labels.tolist(), probabilities, strict=False):
                row = [split, in_csv(name), called[label], called[int(shares.argmax())]]
                writer.writerow(row + [f"{share:.6g}" for share in shares.tolist()])


def read(path: Path) -> tuple[tuple[str, ...], dict[str, Said]]:
    """The classes of a predictions.csv, and what was said of each split that it has.

    Raises RegraftError for a file that is missing, without probabilities, or damaged.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            head = next(csv.reader(file), [])
            classes = tuple(from_csv(name).removeprefix("p_") for name in head[len(HEAD) :])
            if head[: len(HEAD)] != HEAD or not classes or len({*classes}) < len(classes):
                raise RegraftError(f"{shown(path)} names no classes, so it holds no probabilities")
            return classes, _splits(file, classes)
    except FileNotFoundError as error:
        raise RegraftError(f"{shown(path)} is missing, so nothing is known of its run") from error
    except (OSError, ValueError, LookupError, csv.Error) as error:
        why = " ".join(str(error).split()).partition(";")[0]  # numpy adds advice for programmers
        raise RegraftError(f"{shown(path)} is damaged: {why}") from error


def _splits(lines: Iterator[str], classes: tuple[str, ...]) -> dict[str, Said]:
    told: list[list[str]] = []  # split, name, true and predicted class of each image
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of a file without images, said below
        shares = np.loadtxt(_parts(lines, told), delimiter=",", comments=None, ndmin=2)
    if not told:
        raise ValueError("it holds no image")
    if shares.shape != (len(told), len(classes)):
        raise ValueError(f"{len(classes)} classes, and {shares.shape[1]} probabilities")
    if not ((shares >= 0) & (shares <= 1)).all():
        raise ValueError("a probability is not between 0 and 1")
    index = {name: number for number, name in enumerate(classes)}
    of, names, *named = zip(*told, strict=True)
    true, predicted = (np.array([index[from_csv(text)] for text in one]) for one in named)
    every, highest = np.arange(len(told)), shares.max(1)
    if (highest <= 0).any() or (shares[every, predicted] < highest).any():
        raise ValueError("a predicted class is not the most probable one")
    splits = {}
    for split in dict.fromkeys(of):
        rows = np.flatnonzero(np.array(of) == split)
        called = tuple(from_csv(names[row]) for row in rows)
        splits[split] = Said(called, true[rows], predicted[rows], shares[rows])
    return splits


def _parts(lines: Iterator[str], told: list[list[str]]) -> Iterator[str]:
    """The probabilities of each line, as text; what stands before them is added to `told`."""
    for line in filter(str.strip, lines):
        if '"' in line:
            row = next(csv.reader([line]))
            first, last = row[: len(HEAD)], ",".join(row[len(HEAD) :])
        else:
            *first, last = line.split(",", len(HEAD))
        if len(first) < len(HEAD):
            raise ValueError("a line is cut off")
        told.append(first)
        yield last
