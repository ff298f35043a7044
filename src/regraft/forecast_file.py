"""What a forecast leaves in the folder of its run or sweep, and what is read of it again."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from regraft.classwise import ClassOutlook
from regraft.curve import Point
from regraft.errors import RegraftError
from regraft.figures import classes, learning_curve
from regraft.forecast import Forecast, forecast
from regraft.paths import write_whole

FORECAST, CURVE, CLASSES = "forecast.json", "learning_curve.png", "forecast_classes.png"


def write(found: Forecast, folder: Path) -> list[str]:
    """Write forecast.json, learning_curve.png and, where classes are known, forecast_classes.png.

    Each of them whole or not at all; their names are returned.
    """
    _write_json(found.as_dict(), folder)
    learning_curve.draw(found, folder / CURVE)
    return [FORECAST, CURVE, *_draw_classes(found, folder)]


def write_several(found: Mapping[str, Forecast], folder: Path) -> list[str]:
    """The same for several by name: one file, a panel each, and the classes of the best."""
    _write_json({"contenders": {name: one.as_dict() for name, one in found.items()}}, folder)
    highest = found[best(found)]
    if len(found) > 1:
        learning_curve.draw_several(found, folder / CURVE)
    else:
        learning_curve.draw(highest, folder / CURVE)
    return [FORECAST, CURVE, *_draw_classes(highest, folder)]


def best(found: Mapping[str, Forecast]) -> str:
    """The name of the one whose curve is highest where it was last measured."""
    return max(found, key=lambda name: float(found[name].curve.acc(found[name].per_class_now)))


def read(folder: Path, target_acc: float) -> Forecast | None:
    """The forecast for a target from what was measured before; None if that is not known."""
    try:
        stored = json.loads((folder / FORECAST).read_text(encoding="utf-8"))
        points = [Point(**point) for point in stored["points"]]
        by_class = tuple(ClassOutlook(**one) for one in stored["by_class"])
        counts = {key: stored[key] for key in ("val_images", "num_classes")}
        return replace(forecast(points, target_acc, **counts), by_class=by_class)
    except (OSError, ValueError, KeyError, TypeError, RegraftError):
        return None  # of an earlier version, or damaged: it is measured again


def _write_json(plain: Mapping[str, Any], folder: Path) -> None:
    text = json.dumps(plain, indent=2, allow_nan=False) + "\n"
    write_whole(folder / FORECAST, text.encode())


def _draw_classes(found: Forecast, folder: Path) -> list[str]:
    if not found.by_class:
        return []
    classes.draw(found.by_class, folder / CLASSES, found.per_class_now)
    return [CLASSES]
