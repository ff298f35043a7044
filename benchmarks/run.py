"""Run every benchmark and write a dated table: `make bench`, or `make bench ARGS=finetune`."""

import datetime
import os
import platform
import statistics
import sys
from pathlib import Path

import commands
import figures
import finetune
import quickstart
import torch

RESULTS = Path(__file__).parent / "results"
BENCHMARKS = {
    "commands": lambda: commands.measure(runs=5),
    "figures": lambda: figures.measure(times=5),
    "finetune": lambda: finetune.measure(pairs=7),
    "quickstart": quickstart.measure,
}


def main() -> None:
    names = sys.argv[1:] or list(BENCHMARKS)
    os.environ.setdefault("GOMP_SPINCOUNT", "20000")  # as train.py does
    threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    torch.set_num_threads(threads or 1)
    lines = [
        f"# {datetime.date.today()}",
        "",
        f"{platform.machine()}, {_processor()}, {threads} cores, "
        f"Python {platform.python_version()}, "
        f"torch {torch.__version__}, {torch.get_num_threads()} threads",
        "",
        "| figure | median | smallest | largest | runs |",
        "|---|---|---|---|---|",
    ]
    for name in names:
        for figure, values in BENCHMARKS[name]().items():
            middle, low, high = statistics.median(values), min(values), max(values)
            lines.append(f"| {figure} | {middle:.3g} | {low:.3g} | {high:.3g} | {len(values)} |")
            print(lines[-1], flush=True)
    path = RESULTS / f"{datetime.date.today()}-{'-'.join(names)}.md"
    path.write_text("\n".join(lines) + "\n")
    print(f"written to {path}")


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text()
        return next(li.split(": ")[1] for li in text.splitlines() if li.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or "unknown processor"


if __name__ == "__main__":
    main()
