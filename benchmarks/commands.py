"""Whole-process time of the commands that people type."""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
COMMANDS = {
    "python train.py --help": ["--help"],
    "python train.py --cfg job": ["--cfg", "job"],
    "python train.py (digits, frozen trunk, 20 epochs)": [],
}


def measure(runs: int = 5) -> dict[str, list[float]]:
    """Seconds of each command, `runs` times in turn, after one run that is not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for number in range(runs + 1):
        for name, words in COMMANDS.items():
            with tempfile.TemporaryDirectory() as folder:
                spent = train(words, Path(folder))
                if number:
                    seconds[name].append(spent)
    return seconds


def train(words: list[str], folder: Path) -> float:
    """Seconds of `python train.py <words>` of this checkout, in a folder; fails if it does."""
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, str(REPOSITORY / "train.py"), *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY / "src")},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise SystemExit(f"train.py {' '.join(words)}: {done.stderr}")
    return time.perf_counter() - start
