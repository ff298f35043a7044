"""Jobs on disks that are full or cannot be written: real ones, which take a process to mount.

The disks are mounted where only that process sees them, and it types all the command lines.
"""

import json
import shutil
import subprocess
import sys
import textwrap
from functools import partial
from pathlib import Path

import pytest
import runs
from shared import once

# A disk, the words of the job, and what to look at afterwards, which is gone when the process ends.
DISKS = {
    "full": ("size=32k", ["hydra.run.dir=full/run"]),
    "full_sweep": ("size=1200k", ["-m", "hydra.sweep.dir=full_sweep/sweep", "head=linear,mlp"]),
    "read_only": ("ro", ["hydra.run.dir=read_only/run"]),
    "cache": ("ro", ["hydra.run.dir=run"]),
}
TYPE = """
    import json, os, sys
    from pathlib import Path
    sys.path.insert(0, {support!r})
    import in_process
    for name, (_, words) in {disks!r}.items():
        cache = "cache" if name == "cache" else "elsewhere"
        done = in_process.train(Path.cwd(), *{tiny!r}, *words, REGRAFT_CACHE=cache)
        files = {{str(path): path.read_text() for path in sorted(Path(name).rglob("*"))
                 if path.is_file() and path.suffix in {{".json", ".csv", ".part"}}}}
        answer = (done.returncode, done.stdout, done.stderr, files)
        Path("answers", name).write_text(json.dumps(answer))
"""


@pytest.fixture
def answers(repository):
    """By disk: exit code, what was said, and the small files that were left; of one process."""
    folder = once("disks", (TYPE, str(DISKS)), partial(type_on_disks, repository))
    if not (folder / "answers").exists():
        pytest.skip("nothing can be mounted here")
    return {name: json.loads((folder / "answers" / name).read_text()) for name in DISKS}


def type_on_disks(repository, folder):
    for name in DISKS:
        (folder / name).mkdir()
    mount = [f"mount -t tmpfs -o {options} tmpfs {name}" for name, (options, _) in DISKS.items()]
    inside = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-ec"]
    probe = [*inside, "; ".join(mount)]
    if not shutil.which("unshare") or subprocess.run(probe, cwd=folder).returncode:
        return
    (folder / "answers").mkdir()
    tiny = [*map(runs.filled, runs.TINY)]
    support = str(repository / "tests" / "support")
    code = textwrap.dedent(TYPE.format(support=support, disks=DISKS, tiny=tiny))
    script = "; ".join([*mount, f'exec "{sys.executable}" program.py'])
    (folder / "program.py").write_text(code)
    done = subprocess.run([*inside, script], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_full_disk_is_one_line_and_the_result_says_it(answers):
    code, _, said, files = answers["full"]
    assert code == 1
    [line] = said.splitlines()
    assert line.startswith("error: ")
    assert "full/run/metrics.csv: the disk is full; free space" in line
    assert line.endswith("hydra.run.dir=<folder>")
    found = json.loads(files["full/run/result.json"])
    assert found["status"] == "failed"
    assert f"error: {found['error']}" == line
    assert not [name for name in files if Path(name).name.startswith(".result.json")]


def test_jobs_of_a_sweep_on_a_full_disk_stop_nobody(answers):
    code, shown, said, files = answers["full_sweep"]
    assert code == 1
    assert "Traceback" not in shown + said
    assert "/checkpoints/best.ckpt: the disk is full; " in said
    _, *rows = files["full_sweep/sweep/sweep.csv"].splitlines()
    assert [row[:2] for row in rows] == ["0,", "1,"]
    assert "failed" in rows[1]


def test_a_read_only_folder_is_one_line(answers):
    code, _, said, _ = answers["read_only"]
    assert code == 1
    [line] = said.splitlines()
    advice = "Read-only file system; choose another folder with hydra.run.dir="
    assert f"read_only/run: {advice}" in line


def test_a_cache_that_cannot_be_written_is_left_out(answers):
    code, shown, said, _ = answers["cache"]
    assert code == 0, said
    assert "not writable; set REGRAFT_CACHE to another folder" in shown
