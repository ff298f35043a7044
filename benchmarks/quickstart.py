"""The sweep behind `make quickstart`, and what its jobs spend beside training."""

import json
import tempfile
from pathlib import Path

import commands


def measure() -> dict[str, list[float]]:
    """Seconds of the whole command, and per job: wall time, and wall time less training."""
    with tempfile.TemporaryDirectory() as folder:
        whole = commands.train(["-m", "sweep=quadrants"], Path(folder))
        found = [json.loads(p.read_text()) for p in Path(folder).rglob("result.json")]
    plain = [r["cost"] for r in found if r["choices"]["strategy"] != "collect"]
    collect = [r["cost"] for r in found if r["choices"]["strategy"] == "collect"]
    return {
        "whole command, s": [whole],
        "job less training, s (12 jobs)": [c["wall_s"] - c["fit_s"] for c in plain],
        "collect less training, s (4 jobs; measures a learning curve)": [
            c["wall_s"] - c["fit_s"] for c in collect
        ],
    }
