"""Who is at work in a folder; that a run asks is in jobs/test_resume.py."""

import pytest
from filelock import FileLock

from regraft.errors import RegraftError
from regraft.lock import LOCK, held, is_held


def test_to_ask_changes_nothing(tmp_path):
    assert not is_held(tmp_path)
    with held(tmp_path):
        assert is_held(tmp_path)
        assert is_held(tmp_path)
    assert not is_held(tmp_path)


def test_whoever_asks_is_not_taken_for_one_at_work(tmp_path, monkeypatch):
    asking = FileLock(tmp_path / LOCK)
    asking.acquire()
    # Who waits for a lock sleeps between two looks at it: then the other one has asked.
    monkeypatch.setattr("filelock._api.time.sleep", lambda _: asking.release())
    with held(tmp_path):
        assert is_held(tmp_path)


def test_one_at_work_keeps_others_out(tmp_path, monkeypatch):
    monkeypatch.setattr("regraft.lock.PATIENCE_S", 0.1)
    with held(tmp_path), pytest.raises(RegraftError, match="is running"), held(tmp_path):
        pass


def test_where_nothing_can_be_locked_nobody_is_kept_out(tmp_path):
    (tmp_path / LOCK).mkdir()
    with held(tmp_path), held(tmp_path):
        assert not is_held(tmp_path)
