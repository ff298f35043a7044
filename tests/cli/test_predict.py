"""What `regraft predict` says when its reader has enough, which only a process can show."""

import os
import subprocess
import sys

from PIL import Image
from saved import run


def test_who_reads_only_the_first_lines_hears_no_complaint(tmp_path):
    """The other end of the pipe is closed before the first line, so that every write fails."""
    run(tmp_path / "run", calibration={"temperature": 0.5, "threshold": 0.5, "precision": 0.9})
    Image.new("RGB", (40, 30)).save(tmp_path / "x.png")
    (tmp_path / "list.csv").write_text("path\n" + "x.png\n" * 300)
    command = [sys.executable, "-m", "regraft.cli", "predict", "run", "list.csv"]
    end, start = os.pipe()
    os.close(end)
    try:
        done = subprocess.run(
            command, cwd=tmp_path, stdout=start, stderr=subprocess.PIPE, text=True, timeout=300
        )
    finally:
        os.close(start)
    assert (done.returncode, done.stderr) == (0, "")
