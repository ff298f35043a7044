import multiprocessing
import warnings

import pytest
from jobs import composed

from regraft import launch
from regraft.launch import _warn


@pytest.mark.parametrize(
    ("launcher", "sweep", "worker", "expected"),
    [
        ("joblib", True, True, ["waits"]),
        ("joblib", True, False, []),  # one job at a time, in the sweep's own process
        ("joblib", False, True, []),
        ("basic", True, True, []),
    ],
)
def test_only_one_of_several_processes_of_a_sweep_waits_for_the_others(
    launcher, sweep, worker, expected, tmp_path, monkeypatch
):
    def stopped(cfg):
        raise KeyboardInterrupt

    waits = []
    monkeypatch.setattr(launch, "_experiment", lambda: stopped)
    monkeypatch.setattr(launch, "wait_for_the_others", lambda: waits.append("waits"))
    monkeypatch.setattr(multiprocessing, "parent_process", lambda: object() if worker else None)
    cfg = composed(
        tmp_path, f"hydra/launcher={launcher}", f"hydra.sweep.dir={tmp_path}", sweep=sweep
    )
    with pytest.raises(KeyboardInterrupt):
        launch.job(cfg)
    assert waits == expected


def test_a_warning_is_a_line_without_its_file(caplog):
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = _warn
        warnings.warn("16-mixed is not supported\n on CPU", UserWarning, stacklevel=1)
    assert caplog.messages == ["16-mixed is not supported on CPU"]
