"""The two pictures that every run draws."""

import tempfile
import time
from pathlib import Path

import numpy as np

from regraft.figures import runs


def measure(times: int = 5) -> dict[str, list[float]]:
    """Seconds of `curves` of 20 epochs and `confusion_matrix` of 20 classes, `times` in turn,
    after one round that is not counted."""
    history = [
        {"epoch": e, "train/loss": 1 / (e + 1), "val/loss": 1.2 / (e + 1), "val/acc": e / 20}
        for e in range(20)
    ]
    rng = np.random.default_rng(0)
    true, predicted = rng.integers(0, 20, (2, 1000))
    classes = [f"class {i}" for i in range(20)]
    seconds: dict[str, list[float]] = {"curves.png, s": [], "confusion_matrix.png, s": []}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "picture.png"
        for number in range(times + 1):
            start = time.perf_counter()
            runs.curves(history, path)
            middle = time.perf_counter()
            runs.confusion_matrix(true, predicted, classes, path)
            spent = (middle - start, time.perf_counter() - middle)
            if number:
                for values, value in zip(seconds.values(), spent, strict=True):
                    values.append(value)
    return seconds
