"""Whole-process time of the commands that people type."""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

TRAIN = Path(__file__).parents[1] / "train.py"
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
                start = time.perf_counter()
                subprocess.run(
                    [sys.executable, str(TRAIN), *words],
                    cwd=folder,
                    check=True,
                    capture_output=True,
                )
                if number:
                    seconds[name].append(time.perf_counter() - start)
    return seconds
