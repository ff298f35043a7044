"""How long does an ensemble of 20 runs take, from what they have predicted?"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from regraft import predictions
from regraft.ensemble.choose import combine
from regraft.ensemble.members import gather

SOURCE = Path(__file__).parents[1] / "src"


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
            start = time.perf_counter()
            members = gather([folder], {})
            seconds = {"read, s": time.perf_counter() - start}
            for method in ("mean", "weighted", "greedy"):
                start = time.perf_counter()
                combine(members, method)
                seconds[f"choose by {method}, s"] = time.perf_counter() - start
            seconds |= _command(folder)
            for what, value in seconds.items():
                made.setdefault(f"{size}: {what}", []).append(value)
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


def _command(folder: Path) -> dict[str, float]:
    """Of the whole command, with the start of Python; what the processors spent is the same
    whatever else they do."""
    command = [sys.executable, "-m", "regraft.cli", "ensemble", str(folder)]
    env = {**os.environ, "PYTHONPATH": str(SOURCE)}
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, check=True, env=env, capture_output=True)
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"whole command, s": wall, "whole command, seconds of a processor": spent}
