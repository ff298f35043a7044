"""Images in batches: in order, without those that cannot be read, and never many at once."""

import os
import threading
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from regraft.data.transforms import InputConfig, read_image
from regraft.predict import read
from regraft.predict.asked import Asked

INPUT = InputConfig((8, 8), (0.5,) * 3, (0.5,) * 3, "bilinear", 1.0)


def picture(path, value=0):
    Image.new("RGB", (8, 8), (value, 0, 0)).save(path)
    return Asked(path.name, path)


def taken(images, **options):
    skipped = []
    options = {"size": 4, "workers": 2} | options
    return list(read.batches(images, INPUT, skipped.append, **options)), skipped


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_batches_are_full_and_in_order_without_what_cannot_be_read(workers, tmp_path, monkeypatch):
    monkeypatch.setattr(read, "AT_ONCE", 2)  # so that several tasks are left at the end
    images = [picture(tmp_path / f"{n}.png", n) for n in range(11)]
    images[0].path.write_bytes(b"")
    images[5].path.write_bytes(b"nonsense")
    images.insert(7, Asked("gone", tmp_path / "gone.png"))
    images.append(Asked("empty", tmp_path, "the path is empty"))
    found, skipped = taken(images, workers=workers)
    assert [len(batch.names) for batch in found] == [4, 4, 1]
    good = [n for n in range(11) if n not in (0, 5)]
    assert [name for batch in found for name in batch.names] == [f"{n}.png" for n in good]
    assert torch.cat([batch.pixels for batch in found])[:, 0, 0, 0].tolist() == good
    assert [(one.name, one.reason) for one in skipped] == [
        ("0.png", "the file is empty"),
        ("5.png", "what is in it is no image"),
        ("gone", "no such file"),
        ("empty", "the path is empty"),
    ]


def test_pixels_are_those_that_training_saw(tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (31, 47), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "grey.png")
    [batch], _ = taken([Asked("grey", tmp_path / "grey.png")])
    assert torch.equal(batch.pixels[0], INPUT.fit(read_image(tmp_path / "grey.png")))
    assert batch.pixels.is_contiguous(memory_format=torch.channels_last)


def test_floats_are_read_by_the_white_that_training_had(tmp_path):
    values = np.random.default_rng(0).uniform(0, 3000, (8, 8)).astype(np.float32)
    Image.fromarray(values).save(tmp_path / "a.tif")
    seen = replace(INPUT, white=(65535, 65535, 4095))
    asked = [Asked("a", tmp_path / "a.tif")]
    [batch] = read.batches(asked, seen, pytest.fail, size=4, workers=0)
    assert torch.equal(batch.pixels[0], seen.fit(read_image(tmp_path / "a.tif", seen.white)))
    assert 60 < batch.pixels.float().mean() < 130


def test_what_is_no_file_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    names = ("pipe.png", ".", "a" * 300, "nul\0byte")
    images = [Asked(name, tmp_path / name) for name in names]
    _, skipped = taken(images)
    reasons = [one.reason for one in skipped]
    assert reasons[:3] == ["not a file", "not a file", "File name too long"]
    assert "null" in reasons[3]


@pytest.mark.parametrize("workers", [0, 2])
def test_two_thousand_images_are_never_many_at_once(workers, tmp_path, monkeypatch):
    picture(tmp_path / "a.png")
    lock, held = threading.Lock(), {"asked": 0, "open": 0, "most ahead": 0, "most open": 0}

    def images():
        for n in range(2000):
            held["asked"] += 1
            yield Asked(f"{n}", tmp_path / "a.png")

    def decode(path, white, real=read.decode):
        with lock:
            held["open"] += 1
            held["most open"] = max(held["most open"], held["open"])
        try:
            return real(path)
        finally:
            with lock:
                held["open"] -= 1

    monkeypatch.setattr(read, "decode", decode)
    given = 0
    for batch in read.batches(images(), INPUT, print, size=16, workers=workers):
        given += len(batch.names)
        held["most ahead"] = max(held["most ahead"], held["asked"] - given)
    assert given == 2000
    assert held["most open"] <= max(1, workers)
    assert held["most ahead"] <= 2 * 16


def test_who_stops_early_leaves_no_thread_behind(tmp_path):
    images = (picture(tmp_path / "a.png") for _ in range(100))
    batches = read.batches(images, INPUT, print, size=4, workers=2)
    next(batches)
    batches.close()
    assert not [t for t in threading.enumerate() if t.name.startswith("reads images")]
