"""How long does an ensemble of 20 runs take, from what they have predicted?"""

import contextlib
import io
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from rich.console import Console

from regraft import predictions
from regraft.ensemble.choose import combine
from regraft.ensemble.members import gather
from regraft.ensemble.show import show

SOURCE = Path(__file__).parents[1] / "src"
ASKED = {"where": {}, "method": "all", "out": None, "soup": False, "as_json": True}


def measure(
    runs: int = 20, images: int = 10_000, classes: int = 100, rounds: int = 3
) -> dict[str, list[float]]:
    """Seconds for `runs` runs with so many validation and test images together."""
    made: dict[str, list[float]] = {}
    size = f"{runs} runs × {images:,} images × {classes} classes"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number in range(runs):
            _write(folder / str(number), number, images // 2, classes)
        for _ in range(rounds):
            seconds = {"read": _timed(lambda: gather([folder], {}))}
            members = gather([folder], {})
            for method in ("mean", "weighted", "greedy"):
                seconds[f"choose by {method}"] = _timed(partial(combine, members, method))
            with contextlib.redirect_stdout(io.StringIO()):
                seconds["all of it"] = _timed(lambda: show([folder], Console(), **ASKED))
            seconds["whole command"] = _timed(lambda: _command(folder))
            for what, value in seconds.items():
                made.setdefault(f"{size}: {what}, s", []).append(value)
    return made


def _write(folder: Path, seed: int, images: int, classes: int) -> None:
    """A finished run that is right about two thirds of the images."""
    folder.mkdir()
    rng = np.random.default_rng(seed)
    said = {}
    for split in ("val", "test"):
        labels = np.arange(images) % classes
        logits = rng.normal(size=(images, classes))
        logits[np.arange(images), labels] += 3
        shares = np.exp(logits)
        names = [f"{split}/{number:05d}.jpg" for number in range(images)]
        said[split] = names, labels, shares / shares.sum(1, keepdims=True)
    predictions.write(folder / predictions.NAME, [f"class {c:03d}" for c in range(classes)], said)
    result = {
        "status": "finished",
        "overrides": [f"seed={seed}"],
        "choices": {"backbone": "resnet18"},
        "seed": seed,
        "metrics": {"test/acc": 0.5},
        "cost": {"params_total": 11_000_000, "fit_s": 60.0},
    }
    (folder / "result.json").write_text(json.dumps(result))


def _command(folder: Path) -> None:
    command = [sys.executable, "-m", "regraft.cli", "ensemble", str(folder)]
    env = {**os.environ, "PYTHONPATH": str(SOURCE)}
    subprocess.run(command, check=True, env=env, capture_output=True)


def _timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
