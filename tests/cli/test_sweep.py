"""A sweep with a failed job, one with a job that dies, and one that a person stops."""

import json
import os
import signal
import subprocess
import sys

from runs import TINY, filled


def tiny():
    return [*map(filled, TINY)]


def test_a_failed_job_stops_nobody_and_the_exit_code_says_so(train, tmp_path):
    done = train("-m", *tiny(), "data.per_class=999,3", "hydra.sweep.dir=sweep")
    assert done.returncode == 1
    paths = [tmp_path / "sweep" / str(number) / "result.json" for number in (0, 1)]
    assert [json.loads(path.read_text())["status"] for path in paths] == ["failed", "finished"]
    [line] = [line for line in done.stderr.splitlines() if "error" in line]
    assert line.startswith("error: data.per_class=999")
    assert "Traceback" not in done.stderr
    assert "2 jobs, 1 failed" in done.stdout


def test_a_job_whose_process_dies_stops_nobody_either(
    train, regraft, with_killer, monkeypatch, tmp_path
):
    for name, value in with_killer.items():
        monkeypatch.setenv(name, value)
    killer = f"+callbacks.killer={{_target_:killer.Killer,folder:'{tmp_path}',step:2,name:SIGSEGV}}"
    done = train("-m", *tiny(), "seed=0,1", "hydra.sweep.dir=sweep", killer)
    assert done.returncode == 1, done.stderr
    found = [json.loads((tmp_path / "sweep" / n / "result.json").read_text()) for n in "01"]
    assert [result["status"] for result in found] == ["failed", "finished"]
    [line] = [line for line in done.stderr.splitlines() if "error" in line]
    assert line == f"error: {found[0]['error']}"
    assert "the job's process was ended by SIGSEGV" in line
    assert "2 jobs, 1 failed" in done.stdout
    log = (tmp_path / "sweep" / "0" / "train.log").read_text()
    assert "Segmentation fault" in log
    assert "killer.py" in log  # the line of Python that led there

    done = regraft("resume", "sweep", REGRAFT_TRUST="killer")
    assert done.returncode == 0, done.stderr
    assert "1 of 2 jobs to finish" in done.stdout
    assert "2 jobs, 0 failed" in done.stdout


def test_jobs_side_by_side_share_what_is_computed_once_and_end_after_their_steps(
    tmp_path, repository, with_killer
):
    """Two at a time: one finishes, one fails, and the last two meet Ctrl-C at the same step."""
    how = f"folder:'{tmp_path}',step:7,name:SIGINT,group:true,pair:true"
    killer = f"+callbacks.killer={{_target_:killer.Killer,{how}}}"
    words = [
        *tiny(),
        "hydra/launcher=joblib",
        "hydra.launcher.n_jobs=2",
        "hydra.launcher.batch_size=1",
    ]
    words += ["data.per_class=3,999,4,5", "loader.batch_size=2", "trainer.max_epochs=2"]
    words += ["hydra.sweep.dir=sweep", killer]
    more = with_killer | {"REGRAFT_CACHE": str(tmp_path / "cache")}
    done = subprocess.run(
        [sys.executable, str(repository / "train.py"), "-m", *words],
        cwd=tmp_path,
        env=os.environ | more,
        capture_output=True,
        text=True,
        timeout=300,
        start_new_session=True,
        # As from a terminal: in the background of a shell, Ctrl-C is ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert done.returncode == 130, done.stderr
    paths = [tmp_path / "sweep" / str(number) / "result.json" for number in range(4)]
    found = [json.loads(path.read_text()) for path in paths]
    assert [r["status"] for r in found] == ["finished", "failed", "interrupted", "interrupted"]
    for result in found[2:]:
        assert result["error"].startswith("interrupted at step ")
        assert result["error"].endswith("; go on with: regraft resume sweep")
    assert done.stderr.count("error: ") == 1
    assert "4 jobs, 3 failed" in done.stdout
    assert (tmp_path / "sweep" / "sweep.md").exists()
    # The validation and test images are the same in all jobs: computed by one of them.
    train, others = 2 * (3 + 4 + 5), 8 + 8
    assert sum(r["cost"].get("images_forwarded", 0) for r in found) == train + others
