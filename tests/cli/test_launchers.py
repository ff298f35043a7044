"""Sweeps on clusters: submitit's processes on this computer, and a Slurm that is two scripts.

The sweep itself runs in the process of the tests, its jobs in processes that submitit starts.
"""

import json
import os
import sys

import pytest
from in_process import train
from runs import TINY, filled
from shared import REPOSITORY

pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
# Keeps the batch script and runs the tasks of its array at once.
SBATCH = """#!{python}
import os, pathlib, re, subprocess, sys
text = pathlib.Path(sys.argv[1]).read_text()
pathlib.Path("batch.sh").write_text(text)
tasks = int(re.search(r"--array=0-(\\d+)", text).group(1)) + 1
for task in range(tasks):
    env = dict(SLURM_JOB_ID=str(70 + task), SLURM_ARRAY_JOB_ID="7", SLURM_ARRAY_TASK_ID=str(task))
    env |= dict(SLURM_JOB_NAME="train", SLURM_NTASKS="1", SLURM_CPUS_PER_TASK="3")
    env |= dict(SLURM_PROCID="0", SLURM_LOCALID="0", SLURM_NODEID="0")
    quiet = dict(stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    subprocess.Popen(["bash", "-c", text], env=os.environ | env, **quiet)
print("Submitted batch job 7")
"""
SRUN = """#!/bin/bash
while [[ $1 == --* ]]; do
  case $1 in --output) out=${2//%A/$SLURM_ARRAY_JOB_ID}; shift 2 ;; *) shift ;; esac
done
out=${out//%a/$SLURM_ARRAY_TASK_ID}
out=${out//%t/0}
mkdir -p "$(dirname "$out")"
exec "$@" > "$out" 2>&1
"""
SACCT = """#!/bin/bash
echo 'JobID|State|NodeList'
"""


def tiny():
    return [*map(filled, TINY)]


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    """Slurm's commands on the path, as far as submitit asks for them."""
    folder = tmp_path / "bin"
    folder.mkdir()
    scripts = {"sbatch": SBATCH.replace("{python}", sys.executable), "srun": SRUN, "sacct": SACCT}
    for name, text in scripts.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.delenv("OMP_NUM_THREADS")


def test_a_sweep_is_an_array_of_slurm_jobs_of_which_failed_ones_stop_nobody(slurm, tmp_path):
    words = ["hydra/launcher=slurm", "hydra.launcher.partition=gpu", "data.per_class=3,999"]
    done = train(tmp_path, "-m", *tiny(), *words)
    [folder] = tmp_path.glob("outputs/sweeps/*/*")
    lines = (tmp_path / "batch.sh").read_text().splitlines()
    for flag in (
        "array=0-1%2",
        "time=240",
        "mem=32GB",
        "cpus-per-task=8",
        "gpus-per-node=1",
        "ntasks-per-node=1",
        "signal=USR2@180",
        "partition=gpu",
        "job-name=train",
        "open-mode=append",
        "requeue",
    ):
        assert f"#SBATCH --{flag}" in lines
    assert any("SRUN_CPUS_PER_TASK=$SLURM_CPUS_PER_TASK" in line for line in lines)
    found = [json.loads((folder / n / "result.json").read_text())["status"] for n in "01"]
    assert found == ["finished", "failed"]
    assert done.returncode == 1
    assert done.stderr == ""  # it stands in the job's own log, and in the report
    assert "2 jobs, 1 failed" in done.stdout
    assert "2 jobs for submitit; their logs: " in done.stdout
    log = next(folder.glob(".submitit/7_1/*_log.out")).read_text()
    assert "error: data.per_class=999" in log


def test_a_preempted_job_is_started_again_in_its_own_folder(tmp_path):
    """It gets the signal that Slurm sends some time before it ends a job."""
    killer = f"{{_target_:killer.Killer,folder:'{tmp_path}',step:5,name:SIGUSR2}}"
    words = ["hydra/launcher=local", "hydra.sweep.dir=sweep", f"+callbacks.killer={killer}"]
    more = {"REGRAFT_TRUST": "killer", "PYTHONPATH": str(REPOSITORY / "tests" / "support")}
    done = train(tmp_path, "-m", *tiny(), *words, "trainer.max_epochs=3", **more)
    assert done.returncode == 0, done.stderr
    job = tmp_path / "sweep" / "0"
    log = "".join(path.read_text() for path in (tmp_path / "sweep").glob(".submitit/*/*_0_log.*"))
    assert "Requeued job" in log
    assert log.count("Starting with JobEnvironment") == 2
    assert [path.name for path in (tmp_path / "sweep").iterdir() if path.name.isdigit()] == ["0"]
    result = json.loads((job / "result.json").read_text())
    assert (result["status"], result["resumed"]) == ("finished", 1)
    assert "to be queued again, after this step" in log
    assert "goes on after step 5" in log
    assert "Traceback" not in done.stderr
