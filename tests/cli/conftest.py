"""Real processes: what only a start of the program can show."""

import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

Done = subprocess.CompletedProcess[str]


@pytest.fixture(scope="session")
def train_in(repository: Path) -> Callable[..., Done]:
    """Run `python train.py <words>` in a folder, as a person would."""

    def run(folder: Path, *words: str, timeout: float = 300) -> Done:
        return subprocess.run(
            [sys.executable, str(repository / "train.py"), *words],
            cwd=folder,
            # Without W&B's process of this one, which would drop what is left at the other's end.
            env={name: value for name, value in os.environ.items() if name != "WANDB_SERVICE"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
        )

    return run


@pytest.fixture
def with_killer(repository: Path) -> dict[str, str]:
    """What a process has to have in its environment to take callbacks from killer.py."""
    before = filter(None, [os.environ.get("PYTHONPATH")])
    path = os.pathsep.join([str(repository / "tests" / "support"), *before])
    return {"REGRAFT_TRUST": "killer", "PYTHONPATH": path}


@pytest.fixture
def train(tmp_path: Path, train_in: Callable[..., Done]) -> Callable[..., Done]:
    """The same from an empty folder."""
    return partial(train_in, tmp_path)
