"""Kill -9 at random moments, go on, and compare with what was never stopped: `make kills`.

Single runs and sweeps of two jobs, each in a folder and with a cache of its own, so that features
are computed in every one. All processes are forked from this one, which has imported the libraries
and nothing else: a kill then meets the job's own work, not the seconds that torch takes to load.
On the command line: how many kills, the seed, and names of commands if not all.
"""

import json
import multiprocessing
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))

from alike import alike

from regraft import experiment, launch, resume

assert experiment  # whose imports take the time
FORK = multiprocessing.get_context("fork")
COMMON = ["data.per_class=20", "loader.batch_size=8", "trainer.max_epochs=24"]
COMMANDS = {
    "head on features": [*COMMON, "strategy=feature_extraction"],
    "every stage, augmented": [
        *COMMON[:2],
        *("trainer.max_epochs=4", "strategy=gradual", "augment=light", "balance=sampler"),
    ],
    "sweep of two": ["-m", *COMMON[:2], "trainer.max_epochs=4", "strategy=lp_ft,partial"],
}
TRIES = 5  # to go on, before it is said that it does not


@dataclass(frozen=True)
class Outcome:
    """One kill: what was killed in which phase, what differed afterwards, what it has cost."""

    name: str
    moment: float  # seconds after the start
    phase: str
    differs: tuple[str, ...]
    lost: float  # of the processors' time, by all processes beyond the one that was not stopped


@dataclass(frozen=True)
class Whole:
    """A command that was not stopped: its folder, its seconds, and those of the processors."""

    case: Path
    seconds: float
    worked: float


def measure(kills: int = 50, seed: int = 0, *names: str) -> list[Outcome]:
    """So many kills, in turn of each command, at moments drawn evenly over its time."""
    commands = names or tuple(COMMANDS)
    draw = random.Random(seed)
    with tempfile.TemporaryDirectory(prefix="regraft-kills-") as folder:
        root = Path(folder)
        wholes = {name: _timed(root / str(n), name) for n, name in enumerate(commands)}
        outcomes: list[Outcome] = []
        while len(outcomes) < kills:
            name, case = commands[len(outcomes) % len(commands)], root / "case"
            moment = draw.uniform(0, wholes[name].seconds)
            if outcome := _kill(case, name, moment, wholes[name]):
                outcomes.append(outcome)
                print(f"{len(outcomes)}/{kills}: {outcome}", flush=True)
            shutil.rmtree(case)
        return outcomes


def _kill(case: Path, name: str, moment: float, whole: Whole) -> Outcome | None:
    """None if there was nothing left to kill."""
    before = _worked()
    process = _start(case, name)
    process.join(moment)
    if not process.is_alive():
        return None
    os.killpg(process.pid, signal.SIGKILL)
    process.join()
    phase = _phase(case)
    code, tries = process.exitcode, 0
    while code != 0 and tries < TRIES:  # as a person would who does not know how far it came
        # Until there is a folder to name, the command itself is what is given again.
        known = (case / "run/sweep.json").exists() or (case / "run/result.json").exists()
        again = partial(resume.resume, Path("run"))
        process = _run(case, again) if known else _start(case, name)
        process.join()
        code = process.exitcode
        tries += 1
    lost = _worked() - before - whole.worked
    differs = differences(whole.case / "run", case / "run")
    return Outcome(name, round(moment, 2), phase, tuple(differs), round(lost, 1))


def _timed(case: Path, name: str) -> Whole:
    """The second time, as the first one reads libraries from the disk."""
    seconds = worked = 0.0
    for _ in range(2):
        shutil.rmtree(case, ignore_errors=True)
        began, before = time.monotonic(), _worked()
        process = _start(case, name)
        process.join()
        if process.exitcode:
            raise RuntimeError((case / "output.txt").read_text())
        seconds, worked = time.monotonic() - began, _worked() - before
    return Whole(case, seconds, worked)


def _worked() -> float:
    """Seconds of the processors' time that the processes have taken which have ended by now."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _start(case: Path, name: str) -> Any:
    words = COMMANDS[name]
    key = "hydra.sweep.dir" if "-m" in words else "hydra.run.dir"
    case.mkdir(parents=True, exist_ok=True)
    return _run(case, partial(launch.train, [*words, f"{key}=run", "resume=auto"]))


def _run(case: Path, program: Callable[[], None]) -> Any:
    process = FORK.Process(target=_alone, args=(case, program))
    process.start()
    return process


def _alone(case: Path, program: Callable[[], None]) -> None:
    """In a process, a session and a folder of its own, with its output in a file."""
    os.setsid()
    os.chdir(case)
    os.environ |= {"WANDB_MODE": "offline", "REGRAFT_CACHE": str(case / "cache")}
    with Path("output.txt").open("a") as output:
        for number in (1, 2):
            os.dup2(output.fileno(), number)
    program()


def _jobs(run: Path) -> list[Path]:
    return [run / str(n) for n in range(2)] if (run / "sweep.json").exists() else [run]


def _result(job: Path) -> dict[str, Any]:
    path = job / "result.json"
    return json.loads(path.read_text()) if path.exists() else {}


def _phase(case: Path) -> str:
    """What the job that is not finished was about, by what it has left."""
    job = next((j for j in _jobs(case / "run") if _result(j).get("status") != "finished"), None)
    if job is None:
        return "after the last result"
    if not _result(job):
        return "starting"
    if not (job / "plan.txt").exists():
        return "preparing"
    if not (job / "checkpoints/best.ckpt").exists():
        parts = [*(case / "cache").glob("features/*.part")]
        return "computing features" if parts else "before the first checkpoint"
    last = job / "checkpoints/last.ckpt"
    epochs = next(w for w in _result(job)["overrides"] if w.startswith("trainer.max_epochs="))
    if last.exists() and torch.load(last, weights_only=True)["resume"]["start"][0] == int(
        epochs.partition("=")[2]
    ):
        return "judging"
    return "training"


def differences(whole: Path, other: Path) -> list[str]:
    """What of the results of two folders is not the same, to the bit; and forked W&B runs."""
    jobs = zip(_jobs(whole), _jobs(other), strict=True)
    return [f"{one.name}: {what}" for one, two in jobs for what in _of_jobs(one, two)]


def _of_jobs(whole: Path, other: Path) -> list[str]:
    then, now = _result(whole), _result(other)
    found = [
        key
        for key in ("status", "metrics", "best_epoch", "checkpoint", "plan", "overrides")
        if key not in now or then[key] != now[key]
    ]
    for name in ("metrics.csv", "predictions.csv"):
        path = other / name
        if not path.exists() or (whole / name).read_bytes() != path.read_bytes():
            found.append(name)
    for name in ("best.ckpt", "last.ckpt"):
        path = other / "checkpoints" / name
        if not path.exists() or not _same_tensors(whole / "checkpoints" / name, path):
            found.append(name)
    ids = {path.name.rpartition("-")[2] for path in other.glob("wandb/offline-run-*")}
    if ids != {(now.get("wandb") or {}).get("id")}:
        found.append(f"{len(ids)} W&B runs")
    return found


def _same_tensors(one: Path, other: Path) -> bool:
    stored = [torch.load(path, map_location="cpu", weights_only=True) for path in (one, other)]
    return all(alike(stored[0][k], stored[1][k]) for k in ("state_dict", "optimizer_states"))


def table(outcomes: list[Outcome]) -> str:
    """A line for each phase, in Markdown."""
    titles = ("killed while", "kills", "single runs", "sweeps", "ended otherwise")
    lines = [f"| {' | '.join(titles)} | processor seconds lost: median (most) |", "|---" * 6 + "|"]
    for phase, count in Counter(one.phase for one in outcomes).most_common():
        those = [one for one in outcomes if one.phase == phase]
        sweeps = sum("sweep" in one.name for one in those)
        wrong = sum(bool(one.differs) for one in those)
        lost = sorted(one.lost for one in those)
        middle = f"{lost[len(lost) // 2]:.1f} ({lost[-1]:.1f})"
        lines.append(f"| {phase} | {count} | {count - sweeps} | {sweeps} | {wrong} | {middle} |")
    return "\n".join(lines)


if __name__ == "__main__":
    numbers, names = map(int, sys.argv[1:3]), sys.argv[3:]
    made = measure(*numbers, *names)
    print(table(made))
    sys.exit(any(one.differs for one in made))
