"""Another value, another pixel, another byte: another fingerprint. And nothing is read twice."""

import os
from pathlib import Path

import numpy as np
import pytest
from clock import after_a_tick

from regraft import facts
from regraft import fingerprint as module
from regraft.errors import RegraftError
from regraft.fingerprint import fingerprint, key

INGREDIENTS = {
    "weights": "a" * 64,
    "stages": ["stem", "stage 1"],
    "input": {"size": [32, 32], "mean": [0.5, 0.5, 0.5], "crop_mode": None},
    "half": False,
    "rows": 10,
}


@pytest.mark.parametrize(
    "change",
    [
        {"weights": "b" * 64},
        {"stages": ["stem"]},
        {"stages": ["stage 1", "stem"]},
        {"input": INGREDIENTS["input"] | {"size": [32, 33]}},
        {"input": INGREDIENTS["input"] | {"mean": [0.5, 0.5, 0.5000001]}},
        {"input": INGREDIENTS["input"] | {"crop_mode": "None"}},
        {"half": 0},
        {"half": None},
        {"rows": 10.0},
        {"rows": "10"},
        {"more": None},
    ],
    ids=str,
)
def test_each_ingredient_changed_alone_gives_another_key(change):
    assert key(**INGREDIENTS) != key(**INGREDIENTS | change)


def test_a_key_does_not_depend_on_the_order_in_which_ingredients_are_named():
    assert key(**INGREDIENTS) == key(**dict(reversed(INGREDIENTS.items())))
    assert len(key(**INGREDIENTS)) == 64


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        (Path("a"), "key.new is a PosixPath"),
        (np.float64(1), "key.new is a float64"),
        (np.zeros(2), "key.new is a ndarray"),
        (b"a", "key.new is a bytes"),
        ({1, 2}, "key.new is a set"),
        ([1, {"a": object()}], r"key.new\[1\].a is a object"),
        ({1: "a"}, "key.new: 1 is not a string"),
        (float("nan"), "key.new is nan"),
    ],
)
def test_what_is_not_plain_data_is_refused_by_its_place(value, complaint):
    with pytest.raises(TypeError, match=complaint):
        key(**INGREDIENTS, new=value)


@pytest.fixture
def pixels() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (10, 4, 4, 3), np.uint8)


def test_every_pixel_the_order_the_shape_and_the_dtype_count(pixels):
    other = pixels.copy()
    other[9, 3, 3, 2] ^= 1
    different = [
        other,
        pixels[::-1],
        pixels[:9],
        pixels.reshape(10, 3, 4, 4),
        pixels.view(np.int8),
        pixels[:0],
    ]

    assert len({fingerprint(images) for images in (pixels, *different)}) == 7


def test_an_array_is_the_same_on_disk_in_pieces_and_in_another_layout(
    pixels, tmp_path, monkeypatch
):
    expected = fingerprint(pixels)
    np.save(tmp_path / "images.npy", pixels)
    monkeypatch.setattr(module, "_CHUNK_BYTES", 100)

    assert fingerprint(np.load(tmp_path / "images.npy", mmap_mode="r")) == expected
    assert fingerprint(np.asfortranarray(pixels)) == expected


@pytest.fixture
def files(tmp_path) -> tuple[Path, ...]:
    paths = tuple(tmp_path / f"{index}.png" for index in range(200))
    for index, path in enumerate(paths):
        path.write_bytes(b"image %d" % index)
    return paths


def test_files_count_by_content_and_order_not_by_name(files, tmp_path):
    expected = fingerprint(files)
    moved = tuple(path.rename(tmp_path / f"moved {path.name}") for path in files)

    assert fingerprint(moved) == expected
    assert fingerprint(moved[::-1]) != expected
    assert fingerprint(moved[:-1]) != expected


@pytest.mark.parametrize("ticks_of_2_s", [True, False])
def test_a_changed_file_is_noticed_though_size_and_time_stay(files, monkeypatch, ticks_of_2_s):
    if not ticks_of_2_s:
        monkeypatch.setattr(facts, "_TICK_NS", 0)
    expected, before = fingerprint(files), files[150].stat()
    if ticks_of_2_s:
        files[150].write_bytes(b"image 15O")
    else:
        after_a_tick(files[150], lambda path: path.write_bytes(b"image 15O"))
    os.utime(files[150], ns=(before.st_atime_ns, before.st_mtime_ns))

    assert files[150].stat().st_size == before.st_size
    assert fingerprint(files) != expected


def test_files_are_read_once_while_they_do_not_change(files, monkeypatch):
    read = []
    digest = module.hashlib.file_digest
    monkeypatch.setattr(
        module.hashlib, "file_digest", lambda file, name: read.append(file) or digest(file, name)
    )
    now = max(path.stat().st_ctime_ns for path in files)
    monkeypatch.setattr(facts.time, "time_ns", lambda: now + 10**9)
    first = fingerprint(files)
    again = fingerprint(files)
    read_while_fresh = len(read)
    monkeypatch.setattr(facts.time, "time_ns", lambda: now + 3 * 10**9)
    later = [fingerprint(files) for _ in range(3)]

    assert {first, again, *later} == {first}
    assert read_while_fresh == 2 * len(files)
    assert len(read) == 3 * len(files)


def test_a_file_that_cannot_be_read_is_named_in_one_line(files, tmp_path):
    files[7].unlink()
    (tmp_path / "folder.png").mkdir()

    with pytest.raises(RegraftError, match=r"7\.png': no such file .*; repair the file or delete"):
        fingerprint(files)
    with pytest.raises(RegraftError, match="folder.png': cannot be read"):
        fingerprint((tmp_path / "folder.png",))
