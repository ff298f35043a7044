"""From when on an answer is believed: a threshold that is stored, wanted or one's own."""

import math
from dataclasses import replace
from pathlib import Path

from regraft import calibration, predictions
from regraft.calibration import Calibration
from regraft.errors import RegraftError
from regraft.model import Trained
from regraft.paths import shown
from regraft.predictions import Said


def refuse(*, precision: float | None, threshold: float | None) -> None:
    """Raises RegraftError for what no network could have."""
    if precision is not None and threshold is not None:
        raise RegraftError("--precision finds a threshold and --threshold is one: leave one out")
    if precision is not None and not 0 < precision < 1:
        raise RegraftError(f"--precision {precision:g}: give a share between 0 and 1, such as 0.98")
    if threshold is not None and not 0 <= threshold <= 1:  # typer lets a NaN pass
        raise RegraftError(f"--threshold {threshold:g}: give a share between 0 and 1")


def chosen(
    trained: Trained, *, precision: float | None, threshold: float | None = None
) -> Calibration:
    """The stored calibration, with the threshold that is asked for instead of its own.

    A `precision` is reached on the validation images that the run has kept its predictions of.
    Raises RegraftError where it has none, or no threshold reaches it.
    """
    stored = trained.calibration
    refuse(precision=precision, threshold=threshold)
    if threshold is not None:
        return replace(stored, threshold=threshold, precision=None)
    if precision is None or (precision == stored.precision and stored.threshold is not None):
        return stored
    val = predicted(trained)["val"]
    calibrated = stored.apply(val.probabilities)
    found = calibration.threshold(calibrated.max(1), calibrated.argmax(1) == val.true, precision)
    if found is None:
        why = calibration.unreached(precision, len(val.true))
        raise RegraftError(f"--precision {precision:g}: {why}")
    return replace(stored, threshold=found, precision=precision)


def effect(trained: Trained) -> dict[str, dict[str, object]]:
    """How many images are not abstained from, and which share of them is right, by split."""
    known = trained.calibration
    return {
        split: calibration.kept(known, known.apply(said.probabilities), said.true)
        for split, said in predicted(trained).items()
    }


def predicted(trained: Trained) -> dict[str, Said]:
    """What the network's run said of its validation and test images.

    Raises RegraftError if that is not known: of an exported folder, of other checkpoints than the
    judged one, and where the file is gone, damaged or of another network.
    """
    path = _file_of(trained)
    classes, splits = predictions.read(path)
    if classes != trained.classes or "val" not in splits or not _is_of(trained, splits["val"]):
        raise RegraftError(f"{shown(path)} is of another run than the network")
    return splits


def _is_of(trained: Trained, val: Said) -> bool:
    """Whether the network's temperature is the one that was fitted on these images."""
    fitted = calibration.temperature(val.probabilities, val.true)
    return math.isclose(fitted, trained.calibration.temperature, rel_tol=1e-3)


def _file_of(trained: Trained) -> Path:
    judged = trained.card.get("calibration") and "format" not in trained.card  # not exported
    for folder in trained.source.absolute().parents[:2] if judged else ():
        if (path := folder / predictions.NAME).is_file():
            return path
    raise RegraftError(
        f"--precision needs a finished run with its {predictions.NAME}, and "
        f"{shown(trained.source)} has none; leave --precision out"
    )
