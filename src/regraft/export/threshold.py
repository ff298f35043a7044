"""Another threshold than the checkpoint's, from what the run said of its validation images."""

import csv
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from regraft import calibration
from regraft.calibration import Calibration
from regraft.errors import RegraftError
from regraft.escaping import in_csv
from regraft.paths import shown


class Said(NamedTuple):
    """Of one split's images, what the network gave (N, num_classes) and the true classes (N,)."""

    probabilities: np.ndarray
    labels: np.ndarray


def choose(known: Calibration, said: dict[str, Said], precision: float) -> Calibration:
    """The calibration with the lowest threshold that reaches the precision on "val".

    Raises RegraftError where none does.
    """
    calibrated = known.apply(said["val"].probabilities)
    right = calibrated.argmax(1) == said["val"].labels
    threshold = calibration.threshold(calibrated.max(1), right, precision)
    if threshold is None:
        raise RegraftError(
            f"--precision {precision}: no threshold reaches it on the {len(right)} validation "
            "images; ask for less"
        )
    return replace(known, threshold=threshold, precision=precision)


def effect(chosen: Calibration, said: dict[str, Said]) -> dict[str, object]:
    """How many images are not abstained from, and which share of them is right, by split."""
    return {
        split: calibration.kept(chosen, chosen.apply(one.probabilities), one.labels)
        for split, one in said.items()
    }


def read(checkpoint: Path, classes: tuple[str, ...], precision: float) -> dict[str, Said]:
    """What predictions.csv of the checkpoint's run says of "val" and "test".

    Raises RegraftError for a precision that is no share, and where there is no such file.
    """
    if not 0 < precision < 1:
        raise RegraftError(f"--precision {precision}: give a share between 0 and 1, such as 0.98")
    path = checkpoint.absolute().parents[1] / "predictions.csv"
    index = {in_csv(name): number for number, name in enumerate(classes)}
    said: dict[str, tuple[list[list[float]], list[int]]] = {"val": ([], []), "test": ([], [])}
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = csv.reader(file)
            if next(rows)[4:] != [in_csv(f"p_{name}") for name in classes]:
                raise ValueError("other classes")
            for split, _, true, _, *shares in rows:
                said[split][0].append([float(share) for share in shares])
                said[split][1].append(index[true])
        found = {split: Said(np.array(p), np.array(labels)) for split, (p, labels) in said.items()}
        if any(
            one.probabilities.shape != (len(one.labels), len(classes)) for one in found.values()
        ):
            raise ValueError("rows are missing")
        return found
    except (OSError, ValueError, KeyError, StopIteration, csv.Error) as error:
        raise RegraftError(
            f"--precision {precision}: {shown(path)} is missing or damaged, from which the "
            "threshold follows; leave --precision out, or train again with "
            f"calibration.precision={precision}"
        ) from error
