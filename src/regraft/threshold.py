"""From when on an answer is believed: a threshold that is stored, wanted or one's own."""

import math
from dataclasses import replace
from pathlib import Path

from regraft import calibration, logits, predictions
from regraft.calibration import Calibration
from regraft.errors import RegraftError
from regraft.model import Trained
from regraft.paths import shown


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

    A `precision` is reached on the validation images that the run has kept the logits of.
    Raises RegraftError where it has none, or no threshold reaches it.
    """
    stored = trained.calibration
    refuse(precision=precision, threshold=threshold)
    if threshold is not None:
        return replace(stored, threshold=threshold, precision=None)
    if precision is None or (precision == stored.precision and stored.threshold is not None):
        return stored
    splits = judged(trained)
    if "val" not in splits:
        raise RegraftError(f"--precision {precision:g}: the run has no validation images for it")
    given, labels = splits["val"]
    right = given.argmax(1) == labels
    found = calibration.threshold(stored.confidence(given), right, precision)
    if found is None:
        why = calibration.unreached(precision, len(labels))
        raise RegraftError(f"--precision {precision:g}: {why}")
    return replace(stored, threshold=found, precision=precision)


def effect(trained: Trained) -> dict[str, dict[str, object]]:
    """How many images are not abstained from, and which share of them is right, by split."""
    known = trained.calibration
    return {
        split: calibration.kept(known, known.confidence(given), given.argmax(1) == labels)
        for split, (given, labels) in judged(trained).items()
    }


def judged(trained: Trained) -> dict[str, logits.Split]:
    """What the network's run gave for its validation and test images.

    Raises RegraftError if that is not known: of an exported folder, of other checkpoints than the
    judged one, and where the file is gone, damaged or of another run.
    """
    run = trained.card.get("run")
    if run is None:
        return _of_before(trained)
    found = logits.read(path := _beside(trained, logits.NAME))
    if (found.run, found.classes) != (run, trained.classes):
        raise RegraftError(f"{shown(path)} is of another run than the network")
    return found.splits


def _of_before(trained: Trained) -> dict[str, logits.Split]:
    """The same of a run that did not keep its logits: its predictions.csv, which is not calibrated.

    It is the network's if its temperature is the one that fits best.
    """
    classes, splits = predictions.read(path := _beside(trained, predictions.NAME))
    given = {
        split: (calibration.logits_of(said.probabilities), said.true)
        for split, said in splits.items()
    }
    fitted = calibration.best_temperature(*given["val"]) if "val" in given else math.nan
    same = math.isclose(fitted, trained.calibration.temperature, rel_tol=1e-3)
    if classes != trained.classes or not same:
        raise RegraftError(f"{shown(path)} is of another run than the network")
    return given


def _beside(trained: Trained, name: str) -> Path:
    """The file of this name in the folder of the run that the network was judged in."""
    known = trained.card.get("calibration") and "format" not in trained.card  # not exported
    for folder in trained.source.absolute().parents[:2] if known else ():
        if (path := folder / name).is_file():
            return path
    raise RegraftError(
        f"--precision needs a finished run with its {name}, and {shown(trained.source)} has none; "
        "leave --precision out"
    )
