"""Jobs of two processes with a CPU each, which stand for two accelerators."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import shared
from stripes import filled

TWO = ("trainer.accelerator=cpu", "trainer.devices=2", "trainer.strategy=ddp")


class Together(NamedTuple):
    """A job that has ended: its folder, what was said, and what each process saw."""

    folder: Path
    stdout: str
    stderr: str
    ranks: list[dict[str, Any]]  # see witness.py
    left: list[str]  # in the folder for what is temporary


def trained_together(*words: str) -> Together:
    """`python train.py <words>` with two devices, started once for all workers of a session."""
    place = shared.once("two", (*TWO, *words), lambda place: _train(place, words))
    said = json.loads((place / "ended.json").read_text())
    ranks = [json.loads((place / f"rank{number}.json").read_text()) for number in (0, 1)]
    return Together(place / "run", said["stdout"], said["stderr"], ranks, said["left"])


def _train(place: Path, words: tuple[str, ...]) -> None:
    witness = f"+callbacks.witness={{_target_:witness.Witness,folder:'{place}'}}"
    more = [*TWO, *map(filled, words), witness, f"hydra.run.dir='{place}/run'"]
    ended = start(place, str(shared.REPOSITORY / "train.py"), *more)
    assert ended.returncode == 0, ended.stderr
    left = [path.name for path in (place / "tmp").glob("regraft-rank-*")]
    said = {"stdout": ended.stdout, "stderr": ended.stderr, "left": left}
    (place / "ended.json").write_text(json.dumps(said))


def start(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run Python with these words in a folder.

    This waits for the end of what is said, and so for the processes that the first one has started.
    """
    own = {name: value for name, value in os.environ.items() if name != "WANDB_SERVICE"}
    own |= {"REGRAFT_TRUST": "witness,killer", "TMPDIR": str(folder / "tmp")}
    own["PYTHONPATH"] = f"{shared.REPOSITORY / 'src'}:{shared.REPOSITORY / 'tests' / 'support'}"
    (folder / "tmp").mkdir(exist_ok=True)
    return subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env=own,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        start_new_session=True,
    )
