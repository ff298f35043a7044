"""What all tests share: a quiet, offline, private environment, and the real command line."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

# Before torch is imported, and inherited by every process that a test starts. The workers of
# pytest-xdist share the cores among themselves, so each computes with one thread.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.update(
    WANDB_MODE="offline",
    WANDB_SILENT="true",
    COLUMNS="120",
    NO_COLOR="1",
    _TYPER_FORCE_DISABLE_TERMINAL="1",  # typer colours its output for some CI services
)
# What the person who runs the tests has set for their own work.
for name in [*os.environ]:
    if name.startswith(("WANDB_", "REGRAFT_", "HYDRA_")) and name not in {
        "WANDB_MODE",
        "WANDB_SILENT",
        "REGRAFT_CACHE",
    }:
        del os.environ[name]
os.environ.pop("FORCE_COLOR", None)

from regraft import hydra_loader  # noqa: E402, after the environment

hydra_loader.install()  # as the program does, so that no test depends on which ran before it

REPOSITORY = Path(__file__).parents[1]

# What tests share is imported by them; collecting it for doctests would import it a second time.
collect_ignore = [
    path.name for path in Path(__file__).parent.glob("*.py") if not path.name.startswith("test_")
]


def pytest_configure(config: pytest.Config) -> None:
    """Give the session a cache of its own; set here, workers started later inherit it."""
    if "REGRAFT_CACHE" in os.environ:
        return
    cache = tempfile.mkdtemp(prefix="regraft-tests-")
    os.environ["REGRAFT_CACHE"] = cache
    config.add_cleanup(lambda: shutil.rmtree(cache, ignore_errors=True))


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the repository under test."""
    return REPOSITORY


@pytest.fixture(scope="session")
def train_in() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run `python train.py <words>` in a folder, as a person would."""

    def run(folder: Path, *words: str, timeout: float = 300) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, str(REPOSITORY / "train.py"), *words],
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
def train(
    tmp_path: Path, train_in: Callable[..., subprocess.CompletedProcess[str]]
) -> Callable[..., subprocess.CompletedProcess[str]]:
    """The same from an empty folder."""
    return partial(train_in, tmp_path)
