"""File systems that refuse locks, and network drives that keep those of machines that have died."""

import errno
import fcntl
import os
import sqlite3
import sys

import pytest
from filelock import FileLock, Timeout

from regraft import facts, paths
from regraft.errors import RegraftError
from regraft.facts import Facts
from regraft.lock import LOCK, held, is_held
from regraft.paths import is_shared, make_whole, take

MOUNTS = """\
/dev/sda1 / ext4 rw 0 0
server:/export /home nfs4 rw,vers=4.2 0 0
tmpfs /home/scratch tmpfs rw 0 0
me@host:/ /mnt/far fuse.sshfs rw 0 0
"""


@pytest.fixture(params=[errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def no_locks(request, monkeypatch):
    def refuse(*_):
        raise OSError(request.param, os.strerror(request.param))

    monkeypatch.setattr(fcntl, "flock", refuse)


@pytest.fixture(autouse=True)
def as_a_new_process(monkeypatch):
    monkeypatch.setattr(paths, "_said", set())
    monkeypatch.setattr(facts, "_given_up", [])


@pytest.fixture
def on_a_network_drive(monkeypatch):
    monkeypatch.setattr(paths, "is_shared", lambda path: True)
    monkeypatch.setattr("regraft.lock.is_shared", lambda path: True)
    monkeypatch.setattr(paths, "PATIENCE_S", 0.01)
    monkeypatch.setattr("regraft.lock.PATIENCE_S", 0.01)


def made(folder):
    def fill(part):
        (part / "file").write_text("whole")
        return part

    make_whole(folder, fill)
    return (folder / "file").read_text()


def test_without_locks_all_goes_on_with_one_line(no_locks, tmp_path, caplog):
    assert take(tmp_path / "a.lock") is None
    assert made(tmp_path / "a") == made(tmp_path / "b") == "whole"
    with held(tmp_path), held(tmp_path):
        assert not is_held(tmp_path)
    [said] = [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]
    assert said.startswith(f"{tmp_path}: nothing is locked there, it may be made twice: ")
    assert {path.name for path in tmp_path.iterdir() if path.is_dir()} == {"a", "b"}


def test_of_two_that_make_a_folder_without_locks_the_first_one_counts(no_locks, tmp_path):
    def overtaken(part):
        (part / "file").write_text("late")
        assert made(tmp_path / "a") == "whole"
        return part

    make_whole(tmp_path / "a", overtaken)
    assert (tmp_path / "a" / "file").read_text() == "whole"
    assert [path.name for path in tmp_path.iterdir() if path.suffix == ".part"] == []


def test_the_lock_of_a_dead_machine_is_passed_over(on_a_network_drive, tmp_path, caplog):
    with FileLock(tmp_path / ".a.lock"):
        assert made(tmp_path / "a") == "whole"
    assert ".a.lock: nobody gave it back in 0 s; going on without it" in caplog.text


def test_whoever_does_not_wait_is_told(tmp_path):
    with FileLock(tmp_path / "a.lock"), pytest.raises(Timeout):
        take(tmp_path / "a.lock", wait=False)


def test_a_run_on_a_network_drive_says_which_lock_may_be_of_a_dead_machine(
    on_a_network_drive, tmp_path
):
    told = pytest.raises(RegraftError, match=f"if its machine has died, remove {tmp_path}/{LOCK}")
    with FileLock(tmp_path / LOCK), told, held(tmp_path):
        pass


@pytest.mark.parametrize(
    ("path", "shared"),
    [("/home/me", True), ("/home/scratch/x", False), ("/mnt/far/x", True), ("/tmp", False)],
)
@pytest.mark.skipif(sys.platform != "linux", reason="no list of mounts")
def test_what_lies_on_a_network_drive_is_known(tmp_path, path, shared):
    (tmp_path / "mounts").write_text(MOUNTS)
    assert is_shared(paths.Path(path), tmp_path / "mounts") is shared
    assert not is_shared(paths.Path(path), tmp_path / "none")


@pytest.mark.parametrize("why", ["database is locked", "disk I/O error", "locking protocol"])
def test_without_a_table_of_facts_files_are_read_and_it_is_said_once(
    why, tmp_path, monkeypatch, caplog
):
    monkeypatch.setenv("REGRAFT_CACHE", str(tmp_path / "cache"))
    asked = []

    def connect(file, timeout):
        asked.append(timeout)
        raise sqlite3.OperationalError(why)

    monkeypatch.setattr(facts.sqlite3, "connect", connect)
    files = [tmp_path / name for name in "ab"]
    for file in files:
        file.write_text(file.name)
        os.utime(file, (0, 0))
    now = facts.time.time_ns()
    monkeypatch.setattr(facts.time, "time_ns", lambda: now + 3600 * 10**9)
    for _ in range(2):
        found = Facts("text").of(files, lambda path: path.read_text(), threads=1, group=1)
        assert found == ["a", "b"]
    assert asked == [facts.PATIENCE_S]  # waited for once, and not for long
    [said] = [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]
    assert f"facts.sqlite: {why}; what is known about files is not kept" in said
    assert "set REGRAFT_CACHE to a disk of this machine" in said
