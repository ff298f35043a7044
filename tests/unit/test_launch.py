import json
import multiprocessing
import pickle
import warnings

import pytest
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from jobs import composed
from omegaconf import OmegaConf

from regraft import launch, worker
from regraft.launch import _warn


@pytest.mark.parametrize(
    ("launcher", "sweep", "of_joblib", "expected"),
    [
        ("joblib", True, True, ["waits"]),
        ("joblib", True, False, []),  # one job at a time, in the sweep's own process
        ("joblib", False, True, []),
        ("basic", True, True, []),
    ],
)
def test_only_one_of_several_processes_of_a_sweep_waits_for_the_others(
    launcher, sweep, of_joblib, expected, tmp_path, monkeypatch
):
    def stopped(cfg):
        raise KeyboardInterrupt

    waits = []
    monkeypatch.setattr(launch, "_experiment", lambda: stopped)
    monkeypatch.setattr(launch.worker, "is_possible", lambda: False)
    monkeypatch.setattr(launch, "wait_for_the_others", lambda: waits.append("waits"))
    monkeypatch.setattr(multiprocessing, "parent_process", lambda: object() if of_joblib else None)
    words = [f"hydra/launcher={launcher}", f"hydra.sweep.dir={tmp_path}", "hydra.job.num=0"]
    cfg = composed(tmp_path, *words, sweep=sweep)
    with pytest.raises(KeyboardInterrupt):
        launch.job(cfg)
    assert waits == expected


@pytest.mark.parametrize("left", [{}, {"status": "running", "seed": 0, "wandb": {"id": "abc"}}])
def test_a_job_whose_process_died_is_recorded_as_failed_in_what_it_has_left(
    left, tmp_path, monkeypatch, capsys
):
    def die(*_):
        raise worker.ProcessDiedError(-11)

    monkeypatch.setattr(launch.worker, "is_possible", lambda: True)
    monkeypatch.setattr(launch._worker, "run", die)
    monkeypatch.setattr(launch, "_failed", [])
    cfg = composed(tmp_path, "head=mlp", f"hydra.sweep.dir={tmp_path}", sweep=True)
    if left:
        (tmp_path / "result.json").write_text(json.dumps(left))
    assert launch.job(cfg) is None
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["status"] == "failed"
    assert result["error"].startswith("the job's process was ended by SIGSEGV, a fault in ")
    assert result["overrides"] == ["head=mlp"]
    assert result["choices"]["head"] == "mlp"
    assert (result.get("seed"), result.get("wandb")) == (left.get("seed"), left.get("wandb"))
    assert launch._failed == [result["error"]]
    assert capsys.readouterr().err == f"error: {result['error']}\n"


@pytest.mark.parametrize(
    ("launcher", "sweep", "apart"),
    [
        ("basic", True, True),
        ("joblib", True, True),
        ("local", True, False),
        ("basic", False, False),
    ],
)
def test_jobs_have_another_process_where_one_that_dies_would_end_the_sweep(
    launcher, sweep, apart, tmp_path, monkeypatch
):
    """submitit has one for each job already, and a single job has nobody to be kept from harm."""
    if launcher == "local":
        pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
    monkeypatch.setattr(launch.worker, "is_possible", lambda: True)
    monkeypatch.setattr(launch._worker, "run", lambda *_: (0.5, None))
    monkeypatch.setattr(launch, "_attempt", lambda cfg: (0.25, None))
    cfg = composed(
        tmp_path, f"hydra/launcher={launcher}", f"hydra.sweep.dir={tmp_path}", sweep=sweep
    )
    assert launch.job(cfg) == (0.5 if apart else 0.25)


def test_what_is_sent_to_another_process_is_plain_and_means_the_same(tmp_path):
    """The classes of plugins cannot be pickled; a time that was asked for once stays that time."""
    words = ["hydra/launcher=joblib", "hydra.sweep.dir=${now:%f}_${seed}", "seed=3"]
    cfg = composed(tmp_path, *words, sweep=True)
    before = HydraConfig.get().sweep.dir
    OmegaConf.copy_cache(HydraConfig.get()._get_root(), cfg)  # Hydra copies it after that
    sent = pickle.loads(pickle.dumps(launch._with_hydra(cfg)))
    assert before.endswith("_3")
    assert sent.hydra.sweep.dir == before
    assert sent.hydra.mode == RunMode.MULTIRUN
    assert sent.seed == 3


def test_ctrl_c_in_the_report_of_a_sweep_is_one_line(tmp_path, monkeypatch, capsys):
    def end(folder):
        ended.append(folder)
        raise KeyboardInterrupt

    ended = []
    monkeypatch.setattr(launch.sys, "argv", ["regraft train"])
    monkeypatch.setattr(launch.terminal, "prepare", lambda: None)
    monkeypatch.setattr(launch.sweep, "started", [tmp_path])
    monkeypatch.setattr(launch.sweep, "has_begun", lambda folder: True)
    monkeypatch.setattr(launch.sweep, "end", end)
    with pytest.raises(SystemExit) as stop:
        launch.guard(lambda: None)
    assert (stop.value.code, ended) == (130, [tmp_path])
    assert capsys.readouterr().err == "interrupted\n"


def test_a_sweep_has_its_report_whatever_came_of_its_jobs(tmp_path, monkeypatch, capsys):
    def fail():
        raise OSError("no jobs")

    ended = []
    monkeypatch.setattr(launch.sys, "argv", ["regraft train"])
    monkeypatch.setattr(launch.terminal, "prepare", lambda: None)
    monkeypatch.setattr(launch.sweep, "started", [tmp_path])
    monkeypatch.setattr(launch.sweep, "has_begun", lambda folder: True)
    monkeypatch.setattr(launch.sweep, "end", ended.append)
    with pytest.raises(SystemExit) as stop:
        launch.guard(fail)
    assert (stop.value.code, ended) == (1, [tmp_path])


def test_a_warning_is_a_line_without_its_file(caplog):
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = _warn
        warnings.warn("16-mixed is not supported\n on CPU", UserWarning, stacklevel=1)
    assert caplog.messages == ["16-mixed is not supported on CPU"]
