"""The wheel of this repository, and processes that see nothing of its source tree."""

import os
import subprocess
import sys
from pathlib import Path


def run(*words: str | Path, cwd: Path, **more: str) -> subprocess.CompletedProcess[str]:
    # Without PYTHONPATH: the source tree must not stand in for what the wheel lacks.
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | more
    return subprocess.run(
        [str(word) for word in words],
        cwd=cwd,
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
    )


def built(repository: Path, out: Path) -> Path:
    """The wheel, built from the sdist, with the build tools that are installed."""
    build = [sys.executable, "-m", "build", "--no-isolation", "--outdir", out]
    done = run(*build, cwd=repository)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(list(out.glob("*.tar.gz"))) == 1
    [wheel] = out.glob("*.whl")
    return wheel
