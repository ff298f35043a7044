"""Who is at work in a folder; that a run asks is in test_resume.py."""

import threading

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


def test_whoever_asks_is_not_taken_for_one_at_work(tmp_path):
    asking = FileLock(tmp_path / LOCK, thread_local=False)
    asking.acquire()
    timer = threading.Timer(0.2, asking.release)
    timer.start()
    with held(tmp_path):
        assert is_held(tmp_path)
    timer.join()


def test_one_at_work_keeps_others_out(tmp_path):
    with held(tmp_path), pytest.raises(RegraftError, match="is running"), held(tmp_path):
        pass


def test_where_nothing_can_be_locked_nobody_is_kept_out(tmp_path):
    (tmp_path / LOCK).mkdir()
    with held(tmp_path), held(tmp_path):
        assert not is_held(tmp_path)
