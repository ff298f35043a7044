"""Are image folders read faster than torchvision reads them, in memory that does not grow?"""

import multiprocessing
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterable
from functools import partial
from io import BytesIO
from pathlib import Path

import numpy as np
import task
import torch
from PIL import Image
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import ImageFolder

from regraft.data.augment import Light
from regraft.data.folders import image_folder
from regraft.data.images import Images
from regraft.data.sources import Source
from regraft.data.transforms import InputConfig
from regraft.paths import features_folder
from regraft.store import Store

CLASSES, SIZE, WORKERS = 10, 224, 2
INPUT = InputConfig((SIZE, SIZE), (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), "bilinear", 0.875)
SCALE, FLIP, JITTER = 0.6, 0.5, 0.2  # as in conf/augment/light.yaml
LIGHT = Light(scale=SCALE, flip=FLIP, jitter=JITTER)
AUGMENTED = ", augmented"


def measure(
    images: int = 1600, rounds: int = 5, files: int = 100_000, threads: int = 1
) -> task.Seconds:
    """Images per second, their ratios, the peak memory of each, and seconds for so many files.

    `threads` are torch's in the main process; a worker has one.
    """
    made: task.Seconds = {}
    before = torch.get_num_threads()
    with task.empty_cache(), tempfile.TemporaryDirectory() as name:
        torch.set_num_threads(threads)
        photos(Path(name) / "photos", images)
        made |= _speed(Path(name) / "photos", rounds)
        for program, part in (
            ("torchvision", images),
            ("regraft", images),
            *(("regraft, decoded cache", images // share) for share in (4, 2, 1)),
        ):
            photos(Path(name) / str(part), part)
            figure = f"{program}, {part} images: peak memory, MB"
            made[figure] = [_elsewhere(peak, Path(name) / str(part), program, threads)]
        tiny(Path(name) / "tiny", files)
        time.sleep(3)  # what was just written is not trusted (facts.py)
        starts = [_elsewhere(start, Path(name) / "tiny") for _ in range(1 + min(rounds, 3))]
        made[f"{files:,} files scanned, split and fingerprinted: first start, s"] = starts[:1]
        made[f"{files:,} files scanned, split and fingerprinted: next starts, s"] = starts[1:]
    torch.set_num_threads(before)
    return made


def _speed(folder: Path, rounds: int) -> task.Seconds:
    names = [
        f"{program}{change}"
        for change in ("", AUGMENTED)
        for program in ("torchvision", "regraft", "regraft, decoded cache")
    ]
    programs = {name: partial(_epoch, batches(folder, name)) for name in names}
    task.in_turn(programs, 1)  # starts the workers; the files are in the page cache from here on
    took = task.in_turn(programs, rounds)
    made = {f"{name}: images/s": [1 / s for s in took[name]] for name in names}
    for name in names:
        peer = "torchvision" + AUGMENTED * name.endswith(AUGMENTED)
        if name != peer:
            made[f"{name}: times as fast"] = task.ratios(took[peer], took[name])
    return made


def batches(folder: Path, program: str) -> Iterable:
    """An epoch of shuffled batches, normalised float32 (B, 3, H, W) in this process."""
    augmented = program.endswith(AUGMENTED)
    if program.startswith("torchvision"):
        return _torchvision(folder, augmented)
    return _Regraft(folder, augmented, cached="cache" in program)


def _torchvision(folder: Path, augmented: bool) -> DataLoader:
    fitted = [transforms.Resize(256), transforms.CenterCrop(SIZE)]
    changed = [
        transforms.RandomResizedCrop(SIZE, (SCALE, 1.0)),
        transforms.RandomHorizontalFlip(FLIP),
        transforms.ColorJitter(JITTER, JITTER, JITTER),
    ]
    last = [transforms.ToTensor(), transforms.Normalize(INPUT.mean, INPUT.std)]
    steps = transforms.Compose([*(changed if augmented else fitted), *last])
    return DataLoader(
        ImageFolder(str(folder), steps),
        task.BATCH,
        shuffle=True,
        num_workers=WORKERS,
        persistent_workers=True,
    )


class _Regraft:
    """Training batches, with what Lightning's hook does to them on the device."""

    def __init__(self, folder: Path, augmented: bool, *, cached: bool) -> None:
        self.change: Callable | None = LIGHT if augmented else None
        images = Images(
            source(folder), INPUT, batch_size=task.BATCH, workers=WORKERS, decoded_cache=cached
        )
        images.keep_decoded(Store(features_folder()), lambda chunks, *_: chunks)
        self.loader = images.loader("train", shuffle=True)

    def __iter__(self):
        for x, y in self.loader:
            yield INPUT.normalize(x if self.change is None else self.change(x)), y


def source(folder: Path) -> Source:
    """The folder with one image in a hundred split off for val and for test each."""
    division = {"val_fraction": 0.01, "test_fraction": 0.01, "split_seed": 0, "fold": None}
    rest = {"folds": 5, "per_class": None, "fraction": None}
    rest |= {"on_error": "fail", "follow_links": False}
    return image_folder(0, root=str(folder), **division, **rest)


def _epoch(batches: Iterable) -> float:
    """Seconds per image."""
    started, count = time.perf_counter(), 0
    for x, _ in batches:
        assert x.dtype == torch.float32 and x.shape[1:] == (3, SIZE, SIZE)
        count += len(x)
    return (time.perf_counter() - started) / count


def peak(folder: Path, program: str, threads: int) -> float:
    """The most memory of this process and its workers together in two epochs, in MB."""
    torch.set_num_threads(threads)
    most, ended = 0.0, threading.Event()

    def watch() -> None:
        nonlocal most
        while not ended.wait(0.1):
            most = max(most, _memory())

    watcher = threading.Thread(target=watch)
    watcher.start()
    epoch = batches(folder, program)  # which reads the files, with the decoded cache
    for _ in range(2):
        _epoch(epoch)
        most = max(most, _memory())  # of epochs that are too short to be watched, too
    ended.set()
    watcher.join()
    return most


def _memory() -> float:
    """What this process and its workers hold, in MB, without pages that the system may take back.

    That is their share (PSS) of all pages that are in no file, so nothing is counted twice.
    """
    total = 0
    for process in (os.getpid(), *(worker.pid for worker in multiprocessing.active_children())):
        try:
            lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
        except OSError:  # it has just ended
            continue
        total += sum(int(li.split()[1]) for li in lines if li.startswith(("Pss_Anon", "Pss_Shmem")))
    return total * 1024 / 1e6


def start(folder: Path) -> float:
    """Seconds that a new process takes to know its images, once everything is imported."""
    started = time.perf_counter()
    found = source(folder)
    for split in (found.train, found.val, found.test):
        split.fingerprint  # noqa: B018, which reads
    return time.perf_counter() - started


def _elsewhere(function: Callable[..., float], *arguments: object) -> float:
    """In a fresh process, which may have workers of its own."""
    usual, context = multiprocessing.get_start_method(), multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_send, args=(sender, usual, function, *arguments))
    process.start()
    sender.close()
    try:
        return receiver.recv()
    finally:
        process.join()


def _send(sender, usual: str, function: Callable[..., float], *arguments: object) -> None:
    multiprocessing.set_start_method(usual, force=True)  # of its workers; here it is "spawn"
    sender.send(function(*arguments))


def photos(folder: Path, count: int) -> None:
    """JPEG files of 500 x 375 pixels like photographs: detail of every size."""
    rng = np.random.default_rng(0)
    canvas = np.zeros((1500, 2000, 3), np.float32)
    for octave in range(2, 11):  # from 500 pixels down to 2
        noise = rng.integers(0, 256, (3 * 2**octave // 4, 2**octave, 3), np.uint8)
        layer = Image.fromarray(noise).resize((2000, 1500), Image.Resampling.BICUBIC)
        canvas += np.asarray(layer, np.float32) * 0.75**octave
    low, high = np.percentile(canvas, (1, 99))
    picture = Image.fromarray(
        np.clip((canvas - low) * (255 / (high - low)), 0, 255).astype(np.uint8)
    )
    for number in range(count):
        left, top = map(int, rng.integers(0, (1500, 1125)))
        path = folder / f"class{number % CLASSES}" / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        picture.crop((left, top, left + 500, top + 375)).save(path, quality=90)


def tiny(folder: Path, count: int) -> None:
    """So many PNG files of 16 x 16 pixels, no two of them alike."""
    buffer = BytesIO()
    Image.new("RGB", (16, 16)).save(buffer, "PNG")
    for number in range(count):
        path = folder / f"class{number % 100}" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(buffer.getvalue() + number.to_bytes(4, "big"))
