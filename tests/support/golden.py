"""Golden losses: the first ten of eleven jobs at seed 0, kept in golden.json.

`make golden` trains the jobs again, shows old beside new, and writes the file. A change of
structure changes no number; a change of numbers is committed with its reason. The losses are the
same to 1e-6 with AVX2 and AVX-512; without either, torch resizes pictures by another algorithm.
"""

import json
import os
import shutil
import tempfile
from functools import partial
from pathlib import Path

from private import make_private
from stripes import TINY

FILE = Path(__file__).parents[1] / "jobs" / "golden.json"
STEPS, TOLERANCE = 10, 1e-4
STOP = 5  # the step before which the resumed job was stopped

# Four epochs of three steps: every phase of lp_ft and gradual is in them.
WORDS = (*TINY, "trainer.max_epochs=4")
STRATEGIES: dict[str, tuple[str, ...]] = dict.fromkeys(
    ("feature_extraction", "finetune", "partial", "scratch", "lp_ft", "gradual", "probe"), ()
)
# A learning curve of nine heads is enough.
STRATEGIES["collect"] = ("strategy.sizes=3", "strategy.replicates=3")
JOBS = {name: (*WORDS, f"strategy={name}", *more) for name, more in STRATEGIES.items()} | {
    "feature_extraction without the cache": (*WORDS, "features=off"),
    "augmented": (*WORDS, "strategy=finetune", "augment=light"),
}
RESUMED = "resumed"  # strategy=finetune once more


def losses() -> dict[str, list[float]]:
    """The first ten losses of each job, trained now, or shared with other tests."""
    import runs

    found = {name: runs.finished_run(*words).witness["losses"] for name, words in JOBS.items()}
    found[RESUMED] = resumed_losses()
    return {name: values[:STEPS] for name, values in found.items()}


def resumed_losses() -> list[float]:
    """Of a job that Ctrl-C stops at step five and `regraft resume` goes on with."""
    import in_process

    with tempfile.TemporaryDirectory(prefix="regraft-golden-") as name:
        folder = Path(name)
        killer = f"{{_target_:killer.Killer,folder:'{folder}',step:{STOP},name:SIGINT}}"
        witness = f"{{_target_:witness.Witness,folder:'{folder}/witness'}}"
        words = [*JOBS["finetune"]]
        words += [f"+callbacks.killer={killer}", f"+callbacks.witness={witness}"]
        trusted = {"REGRAFT_TRUST": "witness,killer"}
        stopped = in_process.train(folder, *words, f"hydra.run.dir='{folder}/run'", **trusted)
        assert stopped.returncode == 130, stopped.stderr
        path = folder / "witness" / "rank0.json"
        before = json.loads(path.read_text())["losses"]
        done = in_process.regraft(folder, "resume", "run", **trusted)
        assert done.returncode == 0, done.stderr
        return before + json.loads(path.read_text())["losses"]


def table(old: dict[str, list[float]], new: dict[str, list[float]]) -> str:
    """Old beside new, a line for each job and a mark where they differ by more than 1e-4."""
    lines = []
    for name in sorted({*old, *new}):
        was, now = old.get(name, []), new.get(name, [])
        lines.append(f"{name}")
        lines += ["  was  " + shown(was), "  now  " + shown(now)]
        lines.append("  far  " + shown(apart(was, now)) + ("  <-- changed" * differs(was, now)))
    return "\n".join(lines)


def advice(old: dict[str, list[float]], new: dict[str, list[float]]) -> str:
    """What a test says of losses that have changed."""
    return (
        f"the losses are others than those that were committed:\n{table(old, new)}\n"
        "A change of structure changes no number. If the numbers are to change: make golden, look "
        "at old beside new, and commit golden.json with the reason."
    )


def shown(values: list[float]) -> str:
    return " ".join(f"{value:8.5f}" for value in values) or "—"


def apart(was: list[float], now: list[float]) -> list[float]:
    return [abs(a - b) for a, b in zip(was, now, strict=False)]


def differs(was: list[float], now: list[float]) -> bool:
    return len(was) != len(now) or any(gap > TOLERANCE for gap in apart(was, now))


def known() -> dict[str, list[float]]:
    return json.loads(FILE.read_text()) if FILE.exists() else {}


def main() -> None:
    make_private()
    folder = tempfile.mkdtemp(prefix="regraft-golden-")
    os.environ.update(REGRAFT_TEST_RUNS=folder, REGRAFT_CACHE=f"{folder}/cache")
    try:
        new = losses()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    old = known()
    print(table(old, new))
    changed = [name for name in {*old, *new} if differs(old.get(name, []), new.get(name, []))]
    dumps = partial(json.dumps, indent=None)
    body = ",\n".join(
        f"  {dumps(name)}: {dumps([round(v, 6) for v in values])}" for name, values in new.items()
    )
    FILE.write_text(f"{{\n{body}\n}}\n")
    print(f"{len(changed)} of {len(new)} jobs have changed; written: {FILE}")
    if changed:
        print("Commit it with the reason, or undo it: git checkout tests/jobs/golden.json")


if __name__ == "__main__":
    main()
