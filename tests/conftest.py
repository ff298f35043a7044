"""What all tests share: a quiet, offline, private environment, and runs that are trained once."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from private import make_private

if TYPE_CHECKING:
    from in_process import Done
    from runs import Run

make_private()

from regraft import hydra_loader  # noqa: E402, after the environment

hydra_loader.install()  # as the program does, so that no test depends on which ran before it

REPOSITORY = Path(__file__).parents[1]
# What tests share is imported by them; collecting it for doctests would import it a second time.
collect_ignore = ["support"]


def pytest_configure(config: pytest.Config) -> None:
    """Give the session a cache and a folder of shared runs; workers that start later inherit them.

    The second may be set by the person who runs the tests, and is then kept.
    """
    if kept := os.environ.get("REGRAFT_TEST_RUNS"):
        os.environ["REGRAFT_TEST_RUNS"] = str(Path(kept).absolute())
    for name in ("REGRAFT_CACHE", "REGRAFT_TEST_RUNS"):
        if name not in os.environ:
            folder = tempfile.mkdtemp(prefix="regraft-tests-")
            os.environ[name] = folder
            config.add_cleanup(partial(shutil.rmtree, folder, ignore_errors=True))


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the repository under test."""
    return REPOSITORY


@pytest.fixture(scope="session")
def finished_run() -> "Iterator[Callable[..., Run]]":
    """`finished_run(*words)`: a run that was trained once for all tests, to be read only."""
    import runs
    import shared

    yield runs.finished_run
    changed = shared.changed()
    # Which test it was is not known here: pytest lays it to the last one of this worker.
    assert not changed, f"Some test has changed what all share, so take a Run.copy: {changed}"


@pytest.fixture
def train(tmp_path: Path) -> "Callable[..., Done]":
    """`train(*words)`: python train.py in an empty folder, in this process."""
    import in_process

    return partial(in_process.train, tmp_path)


@pytest.fixture
def regraft(tmp_path: Path) -> "Callable[..., Done]":
    """`regraft(*words)`: the command of this name in the same folder, in this process."""
    import in_process

    return partial(in_process.regraft, tmp_path)
