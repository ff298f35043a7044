"""Where a command's output goes, and what a notebook sets, as only a process shows it."""

import json
import subprocess
import sys

from stripes import TINY, filled

CLOSED = """
import os, sys
from regraft import terminal
terminal.prepare()
print("nobody reads this")
print("nor this", file=sys.stderr)
file = open("result.json", "w")
print(file.fileno() > 2, sys.stdin.read(), file=file)
os.write(1, b"straight to the number"); os.write(2, b"and this")
"""


def test_a_run_goes_on_where_it_is_not_heard(repository, tmp_path):
    """Of a notebook's cell, a terminal that takes ASCII, and a reader that has enough."""
    words = [*map(filled, TINY), "hydra.run.dir=run"]
    program = f"'{sys.executable}' '{repository / 'train.py'}' {' '.join(words)}"
    surroundings = "MPLBACKEND=module://nobody.inline PYTHONIOENCODING=ascii TERM=dumb"
    script = f"set -o pipefail; {surroundings} {program} | head -1"
    done = subprocess.run(["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.isascii()
    assert done.stdout.count("\n") == 1
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert result["status"] == "finished"
    assert (tmp_path / "run" / "curves.png").exists()


def test_streams_that_are_closed_lead_nowhere(tmp_path):
    script = f"'{sys.executable}' -c '{CLOSED}' <&- >&- 2>&-"
    done = subprocess.run(["bash", "-c", script], cwd=tmp_path)
    assert done.returncode == 0
    assert (tmp_path / "result.json").read_text() == "True \n"
