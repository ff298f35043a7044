"""Run all benchmarks, or some, and write a dated table: `make bench ARGS="heads jobs=4"`."""

import datetime
import os
import platform
import statistics
import subprocess
import sys
import warnings
from importlib import import_module
from pathlib import Path

RESULTS = Path(__file__).parent / "results"
BENCHMARKS = (
    "commands",
    "figures",
    "finetune",
    "quickstart",
    "heads",
    "partial",
    "rows",
    "growth",
    "loading",
    "many_jobs",
    "predict",
    "ensemble",
    "report",
)


def main() -> None:
    """Names choose benchmarks; words with "=" are numbers for their `measure`."""
    words = sys.argv[1:]
    names = [word for word in words if "=" not in word] or list(BENCHMARKS)
    options = {name: int(number) for name, number in (w.split("=") for w in words if "=" in w)}
    # As train.py does, and like it before torch is loaded, which reads them only then.
    os.environ.setdefault("GOMP_SPINCOUNT", "20000")
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    import torch

    from regraft.environment import cores

    torch.set_num_threads(cores())
    warnings.filterwarnings("ignore")
    lines = [
        f"# {datetime.date.today()}: {' '.join(words) or 'all'}",
        "",
        f"{platform.machine()}, {_processor()}, {cores()} cores, "
        f"Python {platform.python_version()}, "
        f"torch {torch.__version__}, {torch.get_num_threads()} threads, commit {_commit()}",
        "",
        "| figure | median | smallest | largest | runs |",
        "|---|---|---|---|---|",
    ]
    for name in names:
        for figure, values in import_module(name).measure(**options).items():
            middle, low, high = statistics.median(values), min(values), max(values)
            row = [figure, *map(_short, (middle, low, high)), str(len(values))]
            lines.append(f"| {' | '.join(row)} |")
            print(lines[-1], flush=True)
    path = RESULTS / f"{datetime.date.today()}-{'-'.join(words) or 'all'}.md"
    path.write_text("\n".join(lines) + "\n")
    print(f"written to {path}")


def _short(value: float) -> str:
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"


def _commit() -> str:
    """Of this checkout; "dirty" where it is not what was committed."""
    command = ["git", "describe", "--always", "--dirty"]
    done = subprocess.run(command, cwd=RESULTS, capture_output=True, text=True)
    return done.stdout.strip() or "unknown"


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text()
        return next(li.split(": ")[1] for li in text.splitlines() if li.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or "unknown processor"


if __name__ == "__main__":
    main()
