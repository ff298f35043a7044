"""Runs that tests share: trained once, found again, and seen when a test changes them."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import in_process
import pytest
import runs
import shared

WORKERS = 4


@pytest.fixture
def trained(tmp_path, monkeypatch):
    """The words of each training that was begun, in a place of its own."""
    begun = []

    def train(place, *words, **environment):
        begun.append(words[:1])
        (place / "run").mkdir()
        (place / "run" / "result.json").write_text("{}")
        return in_process.Done(["train"], 0, "out", "err")

    monkeypatch.setenv(shared.PLACE, str(tmp_path))
    monkeypatch.setattr(shared, "_given", set())
    monkeypatch.setattr(in_process, "train", train)
    return begun


def test_the_same_words_are_trained_once_and_others_anew(trained):
    first, again = runs.finished_run("seed=0"), runs.finished_run("seed=0")
    other = runs.finished_run("seed=1")
    assert trained == [("seed=0",), ("seed=1",)]
    assert first.folder == again.folder != other.folder
    assert (first.returncode, first.stdout, first.stderr, first.result) == (0, "out", "err", {})


def test_workers_that_ask_at_the_same_moment_get_one_training(trained, monkeypatch):
    everybody = Barrier(WORKERS)

    def ask(_):
        everybody.wait()
        return runs.finished_run("seed=0").folder

    # Each worker of a test run is a process, which knows of no run that another was given.
    monkeypatch.setattr(shared, "_given", NothingKept())
    with ThreadPoolExecutor(WORKERS) as pool:
        folders = [*pool.map(ask, range(WORKERS))]
    assert trained == [("seed=0",)]
    assert len({*folders}) == 1


class NothingKept(set):
    def add(self, folder):
        pass


def test_another_source_is_another_run(trained, monkeypatch):
    runs.finished_run("seed=0")
    monkeypatch.setattr(shared, "_given", set())
    monkeypatch.setattr(shared, "source_digest", lambda: "changed")
    runs.finished_run("seed=0")
    assert len(trained) == 2


def test_a_training_that_was_cut_off_is_made_anew(trained):
    run = runs.finished_run("seed=0")
    (run.folder.parent / shared.READ_ONLY).unlink()
    shared._given.clear()
    assert runs.finished_run("seed=0").result == {}
    assert len(trained) == 2


@pytest.mark.parametrize("what", ["written", "added", "removed"])
def test_a_shared_run_that_a_test_has_changed_is_named(what, trained):
    path = runs.finished_run("seed=0").folder / "result.json"
    assert shared.changed() == []
    if what == "written":
        path.write_text('{"status": "finished"}')
    elif what == "added":
        path = path.with_name("new.txt")
        path.touch()
    else:
        path.unlink()
    assert shared.changed() == [str(path)]


def test_a_copy_may_be_changed(trained, tmp_path):
    run = runs.finished_run("seed=0")
    copy = run.copy(tmp_path / "copy")
    (copy / "result.json").write_text("changed")
    assert shared.changed() == []
