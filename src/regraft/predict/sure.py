"""From when on an answer is believed: a threshold that is stored, wanted or one's own."""

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np

from regraft import calibration
from regraft.calibration import Calibration
from regraft.errors import RegraftError
from regraft.escaping import from_csv
from regraft.paths import shown
from regraft.trained import Trained

PREDICTIONS = "predictions.csv"


def chosen(trained: Trained, *, precision: float | None, threshold: float | None) -> Calibration:
    """The stored calibration, with the threshold that is asked for instead of its own.

    A `precision` is reached on the validation images that the run has kept its predictions of.
    Raises RegraftError where it has none, or no threshold reaches it.
    """
    stored = trained.calibration
    if precision is not None and threshold is not None:
        raise RegraftError("--precision finds a threshold and --threshold is one: leave one out")
    if threshold is not None:
        return replace(stored, threshold=threshold, precision=None)
    if precision is None or precision == stored.precision:
        return stored
    probabilities, labels = validated(trained)
    calibrated = stored.apply(probabilities)
    right = calibrated.argmax(1) == labels
    found = calibration.threshold(calibrated.max(1), right, precision)
    if found is None:
        raise RegraftError(
            f"--precision={precision:g}: no threshold reaches it on the {len(labels)} validation "
            "images; ask for less, or give --threshold"
        )
    return replace(stored, threshold=found, precision=precision)


def validated(trained: Trained) -> tuple[np.ndarray, np.ndarray]:
    """What the run said of its validation images: probabilities (N, num_classes), labels (N,)."""
    folders = (trained.source.parent, trained.source.parent.parent)
    path = next((p for folder in folders if (p := folder / PREDICTIONS).is_file()), None)
    if path is None or not trained.card.get("calibration"):
        raise RegraftError(
            f"--precision needs a finished run with its {PREDICTIONS}, and {shown(trained.source)} "
            "has none beside it; give --threshold instead"
        )
    try:
        return _read(path, trained.classes)
    except (OSError, ValueError, LookupError, csv.Error) as error:
        raise RegraftError(
            f"{shown(path)} is damaged, or of another run than the network"
        ) from error


def _read(path: Path, classes: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
    with path.open(encoding="utf-8", newline="") as file:
        rows = csv.reader(file)
        if [from_csv(name) for name in next(rows, [])[4:]] != [f"p_{name}" for name in classes]:
            raise ValueError("other classes")
        index = {name: number for number, name in enumerate(classes)}
        val = [(index[from_csv(row[2])], row[4:]) for row in rows if row[0] == "val"]
    labels = np.array([label for label, _ in val], dtype=np.int64)
    probabilities = np.array([shares for _, shares in val], dtype=np.float64)
    return probabilities.reshape(len(val), len(classes)), labels
