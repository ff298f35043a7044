"""Arrays on disk: computed once by whoever comes first, never half there, never wrong."""

import errno
import fcntl
import logging
import os
import shutil
import subprocess
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from clock import after_a_tick
from filelock import FileLock

from regraft import entry, facts
from regraft.fingerprint import key
from regraft.store import NotStoredError, Store

KEY, OTHER = key(name="one"), key(name="other")
SHAPE = (6, 1000)
ROWS = np.arange(6000, dtype=np.float32).reshape(SHAPE)


class Chunks:
    """The rows of the array, two at a time, counted when they are drawn."""

    def __init__(self, rows: np.ndarray = ROWS) -> None:
        self.rows, self.drawn = rows, 0

    def __iter__(self) -> Iterator[np.ndarray]:
        for start in range(0, len(self.rows), 2):
            self.drawn += 1
            yield self.rows[start : start + 2]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def compute(store: Store, key: str = KEY, chunks: Chunks | None = None) -> np.ndarray:
    return store.compute(key, SHAPE, "float32", chunks or Chunks(), {"backbone": "resnet"})


def folders(store: Store) -> list[str]:
    return sorted(path.name for path in store.root.iterdir() if path.is_dir())


def test_an_array_is_computed_once_and_then_mapped_read_only(store):
    first, second = Chunks(), Chunks()
    missing = store.get(KEY)
    arrays = [compute(store, chunks=first), compute(store, chunks=second), store.get(KEY)]

    assert missing is None
    assert (first.drawn, second.drawn) == (3, 0)
    for array in arrays:
        assert isinstance(array, np.memmap)
        assert not array.flags.writeable
        assert array.dtype == np.float32
        assert np.array_equal(array, ROWS)


def test_an_entry_is_a_numpy_file_and_says_what_it_is(store):
    compute(store)
    [found] = store.entries()

    assert np.array_equal(np.load(store.root / KEY / "data.npy", allow_pickle=False), ROWS)
    assert found.key == KEY
    assert found.bytes == sum(path.stat().st_size for path in (store.root / KEY).iterdir())
    assert found.record["about"] == {"backbone": "resnet"}
    assert found.record["shape"] == [6, 1000]
    assert found.record["dtype"] == "float32"


@pytest.mark.parametrize(
    "rows",
    [
        np.zeros((0, 5), np.float16),
        np.zeros((3, 0), np.uint8),
        np.arange(4),
        np.asfortranarray(ROWS),
    ],
    ids=["no rows", "no columns", "one axis", "other layout"],
)
def test_arrays_of_any_shape_and_layout_come_back(store, rows):
    shape = tuple(np.array(rows.shape))  # as numpy's integers
    array = store.compute(KEY, shape, rows.dtype, Chunks(rows), {})

    assert array.dtype == rows.dtype
    assert np.array_equal(array, rows)


@pytest.mark.parametrize(
    "rows", [ROWS[:5], np.concatenate([ROWS, ROWS]), ROWS[:, :9], ROWS.astype(np.float64), ROWS[0]]
)
def test_chunks_that_are_not_the_array_are_an_error_and_nothing_is_kept(store, rows):
    with pytest.raises(ValueError, match="for an array"):
        compute(store, chunks=Chunks(rows))

    assert folders(store) == []


def test_memory_does_not_grow_with_the_array(store):
    chunks = (np.zeros((64, 2**14), np.uint8) for _ in range(64))
    tracemalloc.start()
    store.compute(KEY, (64 * 64, 2**14), np.uint8, chunks, {})
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert peak < 5 * 2**20  # of 64


@pytest.mark.parametrize("name", ["../" + KEY[3:], KEY[:-1], KEY.upper(), "", KEY + "\n"])
def test_a_name_that_is_no_key_reaches_no_file(store, name):
    with pytest.raises(ValueError, match="not a key"):
        compute(store, name)
    with pytest.raises(ValueError, match="not a key"):
        store.get(name)


def test_what_json_cannot_say_is_refused_before_anything_is_computed(store):
    chunks = Chunks()
    with pytest.raises(TypeError, match="about.rows is a int64"):
        store.compute(KEY, SHAPE, "float32", chunks, {"rows": np.int64(6)})

    assert chunks.drawn == 0


class OnWaiting(logging.Handler):
    """Does something as soon as the store says that it waits for another."""

    def __init__(self, do: Callable[[], object]) -> None:
        super().__init__()
        self.do, self.said = do, 0

    def emit(self, record: logging.LogRecord) -> None:
        if record.getMessage() == "waiting for another process to compute these features":
            self.said += 1
            self.do()


@pytest.fixture
def on_waiting() -> Iterator[Callable[..., OnWaiting]]:
    handlers, log = [], logging.getLogger("regraft")
    level = log.level
    log.setLevel(logging.INFO)

    def add(do: Callable[[], object]) -> OnWaiting:
        handlers.append(OnWaiting(do))
        log.addHandler(handlers[-1])
        return handlers[-1]

    yield add
    for handler in handlers:
        log.removeHandler(handler)
    log.setLevel(level)


def test_who_races_computes_once_and_the_second_says_that_it_waits(store, on_waiting):
    begun, go = threading.Event(), threading.Event()
    first, second = Chunks(), Chunks()

    def slowly() -> Iterator[np.ndarray]:
        for rows in first:
            begun.set()
            assert go.wait(60)
            yield rows

    handler = on_waiting(go.set)
    with ThreadPoolExecutor(1) as thread:
        writer = thread.submit(store.compute, KEY, SHAPE, "float32", slowly(), {})
        assert begun.wait(60)
        array = compute(store, chunks=second)
        assert np.array_equal(writer.result(), ROWS)

    assert np.array_equal(array, ROWS)
    assert handler.said == 1
    assert (first.drawn, second.drawn) == (3, 0)


def killed_while_writing(store: Store, left: Path) -> tuple[Store, list[object], list[str]]:
    """What a SIGKILL in the middle of the writing leaves, which is what lies on the disk then.

    And what pruning removes and leaves while the writer is alive.
    """
    seen: list[object] = []

    def chunks() -> Iterator[np.ndarray]:
        yield ROWS[:2]
        seen.extend((store.prune(), folders(store)))
        shutil.copytree(store.root, left)
        yield ROWS[2:]

    store.compute(KEY, SHAPE, "float32", chunks(), {})
    return Store(left), *seen


def test_a_killed_writer_leaves_nothing_that_is_read_and_blocks_nobody(tmp_path, store):
    left, removed_alive, [part] = killed_while_writing(store, tmp_path / "left")

    assert removed_alive == []
    assert part.endswith(".part")
    assert folders(left) == [part]
    assert left.get(KEY) is None
    assert np.array_equal(compute(left), ROWS)
    assert folders(left) == [KEY]


def test_what_a_killed_writer_left_is_removed_when_room_is_made(tmp_path, store):
    store, *_ = killed_while_writing(store, tmp_path / "left")
    [left] = store.entries()
    store.max_bytes = 2**20
    compute(store, OTHER)

    assert not left.finished
    assert left.bytes == 128 + ROWS.nbytes
    assert folders(store) == [OTHER]


def test_threads_that_race_compute_once(store):
    both = [Chunks(), Chunks()]
    threads = [threading.Thread(target=compute, args=(store, KEY, chunks)) for chunks in both]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert sorted(chunks.drawn for chunks in both) == [0, 3]


@pytest.mark.parametrize("code", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_no_obstacle(store, monkeypatch, code):
    def flock(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", flock)

    def overtaken() -> Iterator[np.ndarray]:
        yield ROWS[:3]
        compute(store)
        assert store.prune() == []  # one that nothing locks may be alive
        yield ROWS[3:]

    array = store.compute(KEY, SHAPE, "float32", overtaken(), {})

    assert np.array_equal(array, ROWS)
    assert folders(store) == [KEY]
    assert [removed.key for removed in store.prune(max_bytes=0)] == [KEY]


def flip(path: Path, place: int) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


DAMAGES = {
    "flipped bit": lambda folder: flip(folder / "data.npy", -1000),
    "other dtype": lambda folder: flip(
        folder / "data.npy", (folder / "data.npy").read_bytes().index(b"<f4") + 2
    ),
    "truncated": lambda folder: os.truncate(folder / "data.npy", 5000),
    "empty": lambda folder: os.truncate(folder / "data.npy", 0),
    "too long": lambda folder: os.truncate(folder / "data.npy", 50_000),
    "zeros": lambda folder: (folder / "data.npy").write_bytes(bytes(128 + ROWS.nbytes)),
    "another array": lambda folder: np.save(folder / "data.npy", ROWS + 1),
    "pickle": lambda folder: np.save(folder / "data.npy", np.array([{}]), allow_pickle=True),
    "no data": lambda folder: (folder / "data.npy").unlink(),
    "no record": lambda folder: (folder / "entry.json").unlink(),
    "empty record": lambda folder: (folder / "entry.json").write_text(""),
    "half a record": lambda folder: os.truncate(folder / "entry.json", 40),
    "no text": lambda folder: (folder / "entry.json").write_bytes(b"\xff\xfe\x00"),
    "no record but a list": lambda folder: (folder / "entry.json").write_text("[1]"),
    "no checksum": lambda folder: (folder / "entry.json").write_text("{}"),
    "odd checksum": lambda folder: (folder / "entry.json").write_text('{"crc32": [1]}'),
    "endless record": lambda folder: (folder / "entry.json").write_text("[" * 100_000),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_damage_is_noticed_told_once_and_repaired(store, damage, caplog):
    compute(store)
    damage(store.root / KEY)
    chunks = Chunks()
    listed, got = store.entries(), store.get(KEY)
    array = compute(store, chunks=chunks)

    assert len(listed) == 1
    assert got is None
    assert chunks.drawn == 3
    assert np.array_equal(array, ROWS)
    assert np.array_equal(store.get(KEY), ROWS)
    said = f"{store.root}: a damaged entry was removed and is computed again"
    assert [record.message for record in caplog.records] == [said]


def test_bytes_are_checked_once_and_again_when_the_file_changes(store, monkeypatch):
    compute(store)
    checked = []
    crc32 = entry.zlib.crc32
    monkeypatch.setattr(
        entry.zlib, "crc32", lambda *args: checked.append(len(args[0])) or crc32(*args)
    )
    monkeypatch.setattr(facts, "_TICK_NS", 0)
    for _ in range(3):
        assert store.get(KEY) is not None
    once = sum(checked)
    after_a_tick(store.root / KEY / "data.npy", lambda path: flip(path, -1))

    assert once == 128 + ROWS.nbytes
    assert store.get(KEY) is None


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=2m", "regraft-test", str(folder)]
    try:
        mounted = subprocess.run(command, capture_output=True).returncode == 0
    except FileNotFoundError:
        mounted = False
    if not mounted:
        pytest.skip("mounting is not permitted here")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.mark.parametrize("reserving", [True, False])
def test_a_full_disk_is_an_error_and_is_left_as_it_was(small_disk, monkeypatch, reserving):
    def cannot_reserve(*_: object) -> None:
        raise OSError(errno.EOPNOTSUPP, "not supported")

    if not reserving:
        monkeypatch.setattr(os, "posix_fallocate", cannot_reserve)
    store = Store(small_disk / "store")
    small = compute(store, OTHER)
    chunks = Chunks(np.ones((8, 2**17), np.float32))
    with pytest.raises(NotStoredError) as caught:
        store.compute(KEY, (8, 2**17), "float32", chunks, {})
    text = str(caught.value)

    assert (chunks.drawn == 0) is reserving  # known before the work, where it can be
    assert f"{store.root}: No space left on device; 4.2 MB" in text
    assert "regraft cache prune" in text
    assert "REGRAFT_CACHE" in text
    assert "\n" not in text
    assert folders(store) == [OTHER]
    assert np.array_equal(small, ROWS)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
@pytest.mark.parametrize("call", ["posix_fallocate", "fsync"])
def test_no_space_no_quota_and_a_broken_disk_are_one_error(store, monkeypatch, code, call):
    def fail(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patch:
        patch.setattr(os, call, fail)
        with pytest.raises(NotStoredError, match=os.strerror(code)) as caught:
            compute(store)

    assert ("cache prune" in str(caught.value)) is (code != errno.EIO)
    assert folders(store) == []
    assert np.array_equal(compute(store), ROWS)


def test_a_folder_that_cannot_be_written_is_one_error(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    for root in (tmp_path / "file", tmp_path / "file" / "features"):
        chunks = Chunks()
        assert Store(root).get(KEY) is None
        assert Store(root).entries() == []
        with pytest.raises(NotStoredError, match="set REGRAFT_CACHE to another folder"):
            compute(Store(root), chunks=chunks)
        assert chunks.drawn == 0
        assert Store(root).is_useless()


def test_a_folder_that_can_only_be_read_is_of_use_if_something_is_in_it(store, monkeypatch):
    assert not store.is_useless()
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert store.is_useless()
    monkeypatch.undo()
    compute(store)
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert not store.is_useless()


def test_what_the_chunks_raise_is_raised_as_it_is(store):
    def chunks() -> Iterator[np.ndarray]:
        yield ROWS[:2]
        raise OSError(errno.ENOSPC, "no shared memory for the loader's workers")

    with pytest.raises(OSError, match="shared memory"):
        store.compute(KEY, SHAPE, "float32", chunks(), {})

    assert folders(store) == []


@pytest.fixture
def three(store: Store) -> list[str]:
    """The keys of three arrays, last used in this order, in a store that has no room for more."""
    keys = [key(number=number) for number in range(3)]
    for age, name in zip((300, 200, 100), keys, strict=True):
        compute(store, name)
        then = time.time() - age
        for path in (store.root / name).iterdir():
            os.utime(path, (then, then))
    store.max_bytes = sum(entry.bytes for entry in store.entries()) + ROWS.nbytes // 2
    return keys


def test_the_least_recently_used_makes_room(store, three):
    store.get(three[0])
    compute(store)

    assert [entry.key for entry in store.entries()] == [three[2], three[0], KEY]


def test_what_another_process_is_at_work_on_is_not_evicted(store, three):
    with FileLock(store.root / f"{three[0]}.lock"):
        compute(store)

    assert [entry.key for entry in store.entries()] == [three[0], three[2], KEY]


def test_an_evicted_array_stays_readable_for_who_has_it_open(store, three):
    held = store.get(three[0])
    removed = store.prune(max_bytes=0)

    assert len(removed) == 3
    assert folders(store) == []
    assert np.array_equal(held, ROWS)


def test_an_array_beyond_the_budget_is_refused_and_evicts_nothing(store, three):
    store.max_bytes = ROWS.nbytes - 1
    chunks = Chunks()

    assert not store.fits(ROWS.nbytes)
    assert store.fits(ROWS.nbytes - 1)
    with pytest.raises(NotStoredError, match="budget of 24.0 kB is too small for 24.0 kB"):
        compute(store, chunks=chunks)
    assert chunks.drawn == 0
    assert len(folders(store)) == 3


def test_arrays_being_written_count_against_the_budget(store):
    store.max_bytes = ROWS.nbytes * 3 // 2

    def meanwhile() -> Iterator[np.ndarray]:
        with pytest.raises(NotStoredError, match="beside what is in use"):
            compute(store, OTHER)
        yield ROWS

    store.compute(KEY, SHAPE, "float32", meanwhile(), {})

    assert folders(store) == [KEY]


def test_pruning_by_age_removes_what_was_not_used_since(store, three):
    removed = store.prune(unused_since=time.time() - 150)

    assert [entry.key for entry in removed] == three[:2]
    assert folders(store) == [three[2]]


def test_what_is_not_the_stores_is_left_alone(store, tmp_path):
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "thesis").write_text("years of work")
    store.root.mkdir()
    (store.root / KEY).symlink_to(precious)
    (store.root / "notes").mkdir()
    (store.root / "notes" / "today").write_text("not an entry")
    store.prune(max_bytes=0)
    with pytest.raises(NotStoredError):
        compute(store)

    assert (precious / "thesis").exists()
    assert (store.root / "notes" / "today").exists()


def test_the_log_is_quiet_when_all_is_well(store, caplog):
    caplog.set_level(logging.INFO)
    compute(store)
    compute(store)

    assert [record.message for record in caplog.records if record.name.startswith("regraft")] == []
