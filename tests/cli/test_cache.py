"""The cache of one process and of others, and the command that is rid of it."""

import logging
import os
import signal
import subprocess
import sys

import numpy as np

from regraft.fingerprint import key
from regraft.store import Store

ROWS = np.arange(6000, dtype=np.float32).reshape(6, 1000)
KEY = key(name="one")

WRITER = f"""
import sys
from pathlib import Path
import numpy as np
from regraft.store import Store
def chunks():
    yield np.zeros((1, 1000), "float32")
    print("computing", flush=True)
    sys.stdin.read()
Store(Path("store")).compute("{KEY}", (6, 1000), "float32", chunks(), {{}})
"""
COMMAND = """
import sys
from regraft.cli import app
app(["cache"], standalone_mode=False)
app(["cache", "prune", "--all"], standalone_mode=False)
print("torch" in sys.modules, "timm" in sys.modules)
"""


def test_who_waits_for_a_writer_that_is_killed_computes_by_itself(tmp_path):
    """A SIGKILL gives the lock back, which only a process can show."""
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER],
        cwd=tmp_path,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )

    class Kill(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if "waiting for another process" in record.getMessage():
                writer.kill()

    log, kill = logging.getLogger("regraft"), Kill()
    level = log.level
    try:
        assert writer.stdout.readline() == "computing\n"
        log.setLevel(logging.INFO)
        log.addHandler(kill)
        store = Store(tmp_path / "store")
        array = store.compute(KEY, ROWS.shape, ROWS.dtype, [ROWS], {})
    finally:
        log.removeHandler(kill)
        log.setLevel(level)
        writer.kill()
        writer.communicate()

    assert writer.returncode == -signal.SIGKILL
    assert np.array_equal(array, ROWS)
    assert sorted(path.name for path in store.root.iterdir() if path.is_dir()) == [KEY]


def test_the_command_answers_without_torch(tmp_path):
    store = Store(tmp_path / "features")
    for name in ("pets", "flowers"):
        store.compute(key(name=name), (1200, 1000), "float16", [np.zeros((1200, 1000), "f2")], {})
    done = subprocess.run(
        [sys.executable, "-c", COMMAND],
        env={**os.environ, "REGRAFT_CACHE": str(tmp_path)},
        capture_output=True,
        text=True,
    )

    assert done.returncode == 0, done.stderr
    assert "removed 2 entries, 4.8 MB; left: 0 entries" in done.stdout
    assert done.stdout.splitlines()[-1] == "False False"
