"""Errors of the machine in one line: what is wrong, where, and what to do."""

import errno
import os

import pytest
import torch

from regraft import checkpoint_io, faults
from regraft.complaints import explain
from regraft.errors import RegraftError
from regraft.faults import first_sentence, of_output
from regraft.paths import whole, write_in_place, write_whole

WORKER = "DataLoader worker (pid 123) is killed by signal: Killed. "
BUS = (
    "DataLoader worker (pid 5) is killed by signal: Bus error. It is possible that dataloader's "
    "workers are out of shared memory. Please try to raise your shared memory limit."
)
CPU = (
    "[enforce fail at alloc_cpu.cpp:124] err == 0. DefaultCPUAllocator: can't allocate memory: "
    "you tried to allocate 8000000000000 bytes. Error code 12 (Cannot allocate memory)"
)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "/a/b"), ["/a/b: the disk is full; "]),
        (OSError(errno.EDQUOT, "Disk quota exceeded", "/a/b"), ["free space", "hydra.run.dir="]),
        (OSError(errno.EMFILE, "Too many open files"), ["ulimit -n", "loader.workers=0"]),
        (RuntimeError(WORKER), ["(pid 123 is killed by signal: Killed)", "loader.workers=1"]),
        (
            RuntimeError("DataLoader worker (pid(s) 1, 2) exited unexpectedly"),
            ["pid 1, 2 exited unexpectedly", "loader.workers=0"],
        ),
        (RuntimeError(BUS), ["no shared memory left", "loader.workers=0", "--shm-size"]),
        (RuntimeError("received 0 items of ancdata"), ["too many files are open"]),
        (RuntimeError(CPU), ["out of memory (you tried to allocate 8000000000000 bytes)"]),
        (MemoryError(), ["out of memory (MemoryError)", "loader.batch_size"]),
        (
            torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has"),
            ["out of memory (CUDA out of memory. Tried to allocate 2.00 GiB)"],
        ),
    ],
)
def test_what_machines_do_is_one_line_with_advice(error, words):
    line = explain(error)
    assert "\n" not in line
    for text in words:
        assert text in line


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (-9, ["ended by SIGKILL", "memory runs out", "loader.batch_size", "loader.workers"]),
        (-11, ["ended by SIGSEGV", "machine code", "another backbone", "train.log"]),
        (-6, ["ended by SIGABRT", "machine code"]),
        (-7, ["ended by SIGBUS", "shared memory", "loader.workers=0"]),
        (-15, ["ended by SIGTERM"]),
        (-35, ["ended by signal 35"]),
        (3, ["ended with exit code 3 and without a result"]),
        (0, ["ended with exit code 0"]),
    ],
)
def test_the_end_of_a_process_is_one_line_with_the_name_of_the_signal(code, words):
    line = faults.of_death(code)
    assert "\n" not in line
    for text in words:
        assert text in line


def test_a_real_allocation_that_is_too_large_is_out_of_memory():
    with pytest.raises(RuntimeError) as found:
        torch.empty(2**50)
    assert faults.is_out_of_memory(found.value)
    assert not faults.is_out_of_memory(RuntimeError("shapes do not fit"))
    assert first_sentence(str(found.value)).startswith("you tried to allocate")


def test_what_the_cache_lacks_is_said_of_the_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("REGRAFT_CACHE", str(tmp_path))
    denied = PermissionError(errno.EACCES, "Permission denied", str(tmp_path / "features"))
    assert explain(denied).endswith("Permission denied; set REGRAFT_CACHE to another folder")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (PermissionError(errno.EACCES, "Permission denied"), "Permission denied; choose another"),
        (OSError(errno.EROFS, "Read-only file system"), "Read-only file system; choose another"),
        (NotADirectoryError(errno.ENOTDIR, "Not a directory"), "a file is where a folder should"),
        (OSError(errno.ENAMETOOLONG, "File name too long"), "choose a shorter hydra.run.dir"),
        (FileNotFoundError(errno.ENOENT, "No such file"), "it is gone; it was moved or deleted"),
    ],
)
def test_a_runs_folder_that_cannot_be_written_is_named(error, said, tmp_path):
    named = type(error)(error.errno, error.strerror, str(tmp_path / "run" / "metrics.csv"))
    told = of_output(named, tmp_path / "run")
    assert isinstance(told, RegraftError)
    assert str(tmp_path / "run" / "metrics.csv") in str(told)
    assert said in str(told)
    assert "hydra.run.dir" in str(told) or "start again" in str(told)


def test_files_elsewhere_are_none_of_the_runs(tmp_path):
    error = PermissionError(errno.EACCES, "Permission denied", "/somewhere/else.png")
    assert of_output(error, tmp_path) is error
    assert of_output(ValueError("x"), tmp_path).args == ("x",)


def test_a_file_that_cannot_be_replaced_stays_and_nothing_is_left_beside_it(tmp_path):
    path = tmp_path / "metrics.csv"
    write_whole(path, b"old")
    with pytest.raises(OSError, match=r"full.*metrics\.csv") as found, whole(path) as unfinished:
        unfinished.write_bytes(b"new, but not all of")
        raise OSError(errno.ENOSPC, "full")
    assert found.value.filename == str(path)
    assert path.read_bytes() == b"old"
    assert [*tmp_path.iterdir()] == [path]


def test_a_full_disk_still_takes_what_needs_no_more_room(tmp_path):
    path = tmp_path / "result.json"
    path.write_bytes(b"x" * 100)
    os.sync()
    room = path.stat().st_blocks * 512
    assert write_in_place(path, b"shorter")
    assert path.read_bytes() == b"shorter"
    assert not write_in_place(path, b"x" * (room + 1))
    assert path.read_bytes() == b"shorter"
    assert not write_in_place(tmp_path / "not there", b"x")


def test_a_checkpoint_that_is_cut_off_names_its_path_and_leaves_the_old_one(tmp_path, monkeypatch):
    path = tmp_path / "checkpoints" / "best.ckpt"
    checkpoint_io.save({"epoch": 1}, path)

    def cut_off(*_):
        raise RuntimeError("[enforce fail at inline_container.cc:664] . unexpected pos 64 vs 0")

    monkeypatch.setattr(torch, "save", cut_off)
    with pytest.raises(OSError, match="to its end") as found:
        checkpoint_io.save({"epoch": 2}, path)
    assert found.value.filename == str(path)
    monkeypatch.undo()
    assert torch.load(path, weights_only=True) == {"epoch": 1}


@pytest.mark.parametrize(
    ("folder", "said"),
    [
        ("file", "a file is where a folder should be; choose another folder with hydra.run.dir="),
        ("file/run", "a file is where a folder should be; choose another"),
        ("x" * 300, "the name is too long; choose a shorter hydra.run.dir="),
    ],
    ids=["a file", "below a file", "long"],
)
def test_a_folder_that_cannot_be_made_is_one_line(folder, said, tmp_path, train):
    (tmp_path / "file").touch()
    done = train(f"hydra.run.dir={folder}", "logger=none")
    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert said in line
