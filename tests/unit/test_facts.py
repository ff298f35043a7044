"""What is known about a file is found out once, for all processes, and never of another file."""

import os
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from regraft import facts
from regraft.facts import Facts


class Reader:
    """Reads files, and remembers which."""

    def __init__(self) -> None:
        self.read: list[str] = []

    def __call__(self, path: Path) -> str:
        self.read.append(path.name)
        return path.read_text()


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("REGRAFT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def files(tmp_path) -> list[Path]:
    """Written an hour ago, as the clock of this test has it."""
    paths = [tmp_path / f"{index}.txt" for index in range(5)]
    for index, path in enumerate(paths):
        path.write_text(f"file {index}")
    return paths


@pytest.fixture(autouse=True)
def an_hour_later(monkeypatch):
    now = facts.time.time_ns()
    monkeypatch.setattr(facts.time, "time_ns", lambda: now + 3600 * 10**9)


def of(files: list[Path], kind: str = "text") -> tuple[list[str], list[str]]:
    """The facts as a new process gets them, and what it reads for them."""
    reader = Reader()
    return Facts[str](kind).of(files, reader, threads=2, group=2), sorted(reader.read)


TEXTS = [f"file {index}" for index in range(5)]
NAMES = [f"{index}.txt" for index in range(5)]


def test_another_process_knows_what_one_has_found_out(files):
    assert of(files) == (TEXTS, NAMES)
    assert of(files[::-1]) == (TEXTS[::-1], [])
    assert of(files, kind="something else") == (TEXTS, NAMES)


def test_a_relative_path_is_another_file_in_another_folder(files, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    relative = [Path(path.name) for path in files]
    assert of(relative) == (TEXTS, NAMES)
    assert of(files)[1] == []
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "0.txt").write_text("another")
    monkeypatch.chdir(tmp_path / "other")
    assert of(relative[:1]) == (["another"], ["0.txt"])


def test_a_file_in_the_place_of_another_is_read_though_size_and_time_are_the_same(files):
    of(files)
    before = files[3].stat()
    files[3].unlink()
    files[3].write_text("other3")
    os.utime(files[3], ns=(before.st_atime_ns, before.st_mtime_ns))
    assert files[3].stat().st_size == before.st_size
    assert of(files) == ([*TEXTS[:3], "other3", TEXTS[4]], ["3.txt"])
    assert of(files)[1] == []


def test_what_was_just_written_is_read_again(files, monkeypatch):
    now = max(path.stat().st_ctime_ns for path in files)
    monkeypatch.setattr(facts.time, "time_ns", lambda: now + 10**9)
    of(files)
    assert of(files) == (TEXTS, NAMES)


def test_a_damaged_table_is_left_out_and_begins_anew(files, cache):
    of(files)
    (cache / "facts.sqlite").write_bytes(b"this is not a table" * 100)
    assert of(files) == (TEXTS, NAMES)
    assert of(files) == (TEXTS, [])


@pytest.mark.parametrize(
    "obstacle", ["a file for a folder", "a folder for a file", "other columns"]
)
def test_without_a_table_every_process_reads(files, cache, obstacle):
    if obstacle == "a file for a folder":
        cache.write_text("")
    elif obstacle == "a folder for a file":
        (cache / "facts.sqlite").mkdir(parents=True)
    else:
        cache.mkdir()
        with sqlite3.connect(cache / "facts.sqlite") as table:
            table.execute("CREATE TABLE facts (something)")
    assert of(files) == (TEXTS, NAMES)
    assert of(files) == (TEXTS, NAMES)


def test_several_write_at_the_same_time(tmp_path):
    paths = [tmp_path / f"{index}.txt" for index in range(200)]
    for path in paths:
        path.write_text(path.stem)
    with ThreadPoolExecutor(8) as threads:
        parts = [paths[start::8] for start in range(8)]
        assert [texts for texts, _ in threads.map(of, parts)] == [
            [p.stem for p in q] for q in parts
        ]
    assert of(paths)[1] == []


def test_what_cannot_be_found_out_is_raised(files):
    files[2].unlink()
    with pytest.raises(FileNotFoundError):
        of(files)
