"""Each kind of training, stopped at each of its steps; some of them are in jobs/test_resume.py."""

import pytest
import stops
from stops import SMALL, WAYS, ctrl_c, go_on, kill, same, start_of, stopped


@pytest.fixture(autouse=True)
def untaken_signals():
    with stops.untaken_signals():
        yield


@pytest.mark.parametrize("step", range(9))
@pytest.mark.parametrize("way", WAYS)
def test_to_the_bit_after_ctrl_c_at_each_step(way, step, finished_run, tmp_path, monkeypatch):
    words = [*SMALL, *WAYS[way]]
    stopped(tmp_path, monkeypatch, *words, step=step, happens=ctrl_c)
    go_on(tmp_path, *words)
    same(finished_run(*words).folder, tmp_path)


@pytest.mark.parametrize(("step", "epoch"), [(1, None), (3, 1), (5, 1), (6, 2), (8, 2)])
@pytest.mark.parametrize("way", WAYS)
def test_to_the_bit_after_a_kill(way, step, epoch, finished_run, tmp_path, monkeypatch):
    words = [*SMALL, *WAYS[way]]
    stopped(tmp_path, monkeypatch, *words, step=step, happens=kill)
    if epoch is None:
        assert not (tmp_path / "checkpoints/last.ckpt").exists()
    else:
        assert start_of(tmp_path) == (epoch, 0)
    go_on(tmp_path, *words)
    same(finished_run(*words).folder, tmp_path)
