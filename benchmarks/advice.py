"""Was the advice right, on every data set that the project has, at five sizes: `make advice`.

One `-m sweep=verify` per data set and size, as a user would run it. The table compares what the
advice lost (regret, against the best strategy of the same sweep on the test images) with what one
would have lost by always doing the same, or what the textbook says of the measured cell.
On the command line: seeds=3, and digits or fractals for one of them.
"""

import datetime
import platform
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

from regraft.comparison import Cell, read_sweep
from regraft.environment import cores
from regraft.regret import AUTO, Regret, regret

ROOT = Path(__file__).parents[1]
SIZES = {"digits": (5, 10, 20, 50, None), "fractals": (5, 10, 20, 60, 200)}  # images per class
TEXTBOOK = {
    "small_similar": "feature_extraction",
    "big_similar": "finetune",
    "small_dissimilar": "feature_extraction",  # which is what `collect` trains
    "big_dissimilar": "scratch",
}
ALWAYS = ("feature_extraction", "lp_ft", "finetune", "scratch")


@dataclass(frozen=True)
class Case:
    """One data set at one size: what was measured, and what each strategy reached."""

    data: str
    per_class: int | None
    quadrant: str
    made: Regret
    accs: dict[str, float]

    def regret_of(self, name: str) -> float:
        """Points behind the best of the sweep, the advised run included."""
        return 100 * (max(self.accs.values()) - self.accs[name])


def main() -> None:
    words = sys.argv[1:]
    seeds = next((int(w.partition("=")[2]) for w in words if w.startswith("seeds=")), 3)
    names = [word for word in words if word in SIZES] or [*SIZES]
    path = ROOT / "benchmarks" / "results" / f"{datetime.date.today()}-advice.md"
    head = heading(seeds)
    cases: list[Case] = []
    for data, per_class in [(name, size) for name in names for size in SIZES[name]]:
        cases.append(case(data, per_class, seeds))
        print(row(cases[-1]), flush=True)
        path.write_text("\n".join([*head, *map(row, cases), *policies(cases), ""]))
    print(f"written to {path}")


def case(data: str, per_class: int | None, seeds: int) -> Case:
    """Run the sweep of one data set and size."""
    size = "null" if per_class is None else per_class
    with tempfile.TemporaryDirectory(prefix="regraft-advice-") as folder:
        seed = ",".join(map(str, range(seeds)))
        command = [
            *(sys.executable, str(ROOT / "train.py"), "-m", "sweep=verify", f"data={data}"),
            *(f"data.per_class={size}", f"seed={seed}", "logger=none", f"hydra.sweep.dir={folder}"),
        ]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        [cell] = read_sweep(Path(folder)).cells
        return of(data, per_class, cell)


def of(data: str, per_class: int | None, cell: Cell) -> Case:
    made = regret(cell)
    assert made is not None
    accs = {row.name: row.scores.mean for row in cell.rows if row.scores}
    [auto] = [row for row in cell.rows if row.name == AUTO]
    cells = [str(job.advice["placement"]["quadrant"]) for job in auto.counted]
    return Case(data, per_class, max(set(cells), key=cells.count), made, accs)


def heading(seeds: int) -> list[str]:
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True
    ).stdout.strip()
    head = ["data", "per class", "measured cell", "advised", *(AUTO, *ALWAYS), "regret", "verdict"]
    return [
        f"# {datetime.date.today()}: what the advice lost",
        "",
        f"{platform.machine()}, {cores()} cores, Python {platform.python_version()}, "
        f"commit {commit}, {seeds} seeds. Test accuracy; regret is points behind the best.",
        "",
        f"| {' | '.join(head)} |",
        f"|{'---|' * len(head)}",
    ]


def row(case: Case) -> str:
    cells = [
        *(case.data, str(case.per_class or "all"), case.quadrant.replace("_", ", ")),
        ", ".join(case.made.advised),
        *(f"{case.accs[name]:.3f}" for name in (AUTO, *ALWAYS)),
        *(f"{case.regret_of(AUTO):.1f}", "right" if case.made.right else "wrong"),
    ]
    return f"| {' | '.join(cells)} |"


def policies(cases: list[Case]) -> list[str]:
    """What each way to decide lost, on average and at worst."""
    lost = {"the advice": [case.regret_of(AUTO) for case in cases]}
    lost["the textbook's choice for the measured cell"] = [
        case.regret_of(TEXTBOOK[case.quadrant]) for case in cases
    ]
    lost |= {f"always {name}": [case.regret_of(name) for case in cases] for name in ALWAYS}
    lines = ["", "| way to decide | mean regret, points | worst |", "|---|---|---|"]
    return lines + [f"| {name} | {mean(r):.1f} | {max(r):.1f} |" for name, r in lost.items()]


if __name__ == "__main__":
    main()
