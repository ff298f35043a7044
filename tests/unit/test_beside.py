import errno
import fcntl

import pytest
from hydra.core.hydra_config import HydraConfig
from jobs import composed

from regraft.beside import in_our_processes, kind, one_of, threads_each


def config(folder, *words, sweep=True):
    composed(folder, *words, sweep=sweep)
    return HydraConfig.instance().cfg


@pytest.mark.parametrize("name", ["basic", "joblib", "local", "slurm"])
def test_only_a_sweep_has_a_launcher(name, tmp_path):
    if name in ("local", "slurm"):
        pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
    word = f"hydra/launcher={name}"
    assert kind(config(tmp_path, word).hydra) == name
    assert kind(config(tmp_path, word, sweep=False).hydra) is None


@pytest.mark.parametrize(
    ("words", "cores", "expected"),
    [
        (["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"], 1, True),
        (["hydra/launcher=joblib", "hydra.launcher.n_jobs=1"], 4, False),
        (["hydra/launcher=joblib"], 4, True),
        (["hydra/launcher=joblib"], 1, False),
        (["hydra/launcher=joblib", "hydra.launcher.n_jobs=0"], 4, False),
        ([], 4, False),
    ],
)
def test_joblib_starts_processes_for_several_jobs_at_a_time(
    words, cores, expected, tmp_path, monkeypatch
):
    monkeypatch.setattr("joblib._parallel_backends.cpu_count", lambda: cores)
    assert in_our_processes(config(tmp_path, *words).hydra) == expected


@pytest.mark.parametrize(
    ("words", "jobs", "threads"),
    [
        (["hydra/launcher=joblib", "hydra.launcher.n_jobs=4"], 100, 4),
        (["hydra/launcher=joblib", "hydra.launcher.n_jobs=4"], None, 4),
        (["hydra/launcher=joblib", "hydra.launcher.n_jobs=4"], 2, 8),
        (["hydra/launcher=joblib"], 100, 1),
        (["hydra/launcher=joblib"], 3, 5),
        (["hydra/launcher=joblib", "hydra.launcher.n_jobs=-2"], 100, 1),
        (["hydra/launcher=joblib", "hydra.launcher.n_jobs=50"], 100, 1),
        ([], 100, None),
    ],
)
def test_cores_are_shared_by_the_jobs_that_run_side_by_side(
    words, jobs, threads, tmp_path, monkeypatch
):
    monkeypatch.setattr("regraft.beside.cores", lambda: 16)
    assert threads_each(config(tmp_path, *words), jobs) == threads


def test_submitit_begins_with_all_jobs_unless_told_otherwise(tmp_path, monkeypatch):
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
    monkeypatch.setattr("regraft.beside.cores", lambda: 16)
    local = ["hydra/launcher=local"]
    assert threads_each(config(tmp_path, *local), 8) == 2
    assert threads_each(config(tmp_path, *local, "hydra.sweeper.max_batch_size=4"), 8) == 4
    assert threads_each(config(tmp_path, "hydra/launcher=slurm"), 8) is None


def test_a_search_runs_as_many_jobs_side_by_side_as_it_asks_for(tmp_path, monkeypatch):
    pytest.importorskip("hydra_plugins.hydra_optuna_sweeper")
    monkeypatch.setattr("regraft.beside.cores", lambda: 16)
    words = ["hydra/sweeper=optuna", "hydra.sweeper.n_jobs=2", "hydra/launcher=joblib"]
    assert threads_each(config(tmp_path, *words), 20) == 8


def test_no_two_jobs_have_a_device_while_another_idles(tmp_path):
    with one_of(2, 4, tmp_path) as first, one_of(2, 6, tmp_path) as second:
        assert (first, second) == (0, 1)
        with one_of(2, 7, tmp_path) as third:  # more jobs than devices
            assert third == 1
    with one_of(2, 5, tmp_path) as again:
        assert again == 1


def test_a_failed_job_gives_its_device_back(tmp_path):
    with pytest.raises(ZeroDivisionError), one_of(1, 0, tmp_path):
        raise ZeroDivisionError
    with one_of(2, 0, tmp_path) as index:
        assert index == 0


@pytest.mark.parametrize("code", [errno.ENOSYS, errno.ENOLCK])
def test_without_locks_jobs_share_the_devices(code, tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(code, "no locks here")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with one_of(2, 5, tmp_path) as first, one_of(2, 7, tmp_path) as second:
        assert (first, second) == (1, 1)
