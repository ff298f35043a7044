"""Random command lines each end in a fast run or in one clear line; `make fuzz` tries more."""

import re
import subprocess
import sys


def test_random_command_lines_end_in_a_run_or_in_one_clear_line(repository):
    # In a process of its own: logging, signals and Hydra's plugins are not as they were after it.
    command = [sys.executable, repository / "benchmarks/fuzz.py"]
    words = ["seed=7", "count=50", "processes=1"]
    done = subprocess.run([*command, *words], capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stdout + done.stderr
    counts = dict(re.findall(r"(\d+) (ran|begun|refused)", done.stdout.splitlines()[0]))
    assert len(counts) >= 3, done.stdout
    assert min(map(int, counts)) >= 3
