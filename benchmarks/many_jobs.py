"""Does the process of a long sweep grow: in memory, in open files, in threads? Linux only."""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
TRIVIAL = ["data.per_class=2", "trainer.max_epochs=1", "trainer.accelerator=cpu"]


def measure(jobs: int = 500, every: int = 50, wandb: int = 0) -> dict[str, list[float]]:
    """Memory, open files and threads of a sweep's process before its jobs 0, `every`, …

    With `wandb=1` each job has its Weights & Biases run, offline.
    """
    words = [*TRIVIAL, f"seed=range({jobs})", "hydra.sweep.dir=sweep"]
    words += [] if wandb else ["logger=none"]
    made: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        env = {**os.environ, "PYTHONPATH": str(REPOSITORY / "src")}
        env |= {"REGRAFT_CACHE": str(folder / "cache"), "WANDB_MODE": "offline"}
        command = [sys.executable, str(REPOSITORY / "train.py"), "-m", *words]
        with (folder / "log").open("w") as log:
            process = subprocess.Popen(
                command, cwd=folder, env=env, stdout=log, stderr=subprocess.STDOUT
            )
            start = time.perf_counter()
            for done in range(every, jobs, every):
                while not (folder / "sweep" / str(done) / ".hydra").exists():
                    if process.poll() is not None:
                        raise SystemExit((folder / "log").read_text())
                    time.sleep(0.01)
                for what, value in look(process.pid).items():
                    made[f"before job {done}: {what}"] = [value]
            if process.wait():
                raise SystemExit((folder / "log").read_text())
        made[f"{jobs} jobs, s per job"] = [(time.perf_counter() - start) / jobs]
    return made


def look(pid: int) -> dict[str, float]:
    """What a process holds now."""
    fields = dict(
        line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines()
    )
    return {
        "memory, MB": float(fields["VmRSS"].split()[0]) / 1024,
        "of that in no file, MB": float(fields["RssAnon"].split()[0]) / 1024,
        "open files": float(len([*Path(f"/proc/{pid}/fd").iterdir()])),
        "threads": float(fields["Threads"]),
    }
