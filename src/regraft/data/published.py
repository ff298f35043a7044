"""Image sets that others published: downloaded and read by torchvision, with their own splits."""

import csv
import logging
import pickle
import socket
import tarfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache, partial
from http.client import HTTPException
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple
from urllib.error import HTTPError, URLError

import numpy as np
from annotated_types import Len
from torchvision.datasets import (
    CIFAR10,
    CIFAR100,
    DTD,
    EuroSAT,
    Flowers102,
    Food101,
    OxfordIIITPet,
)

from regraft.data import subset
from regraft.data.sources import (
    Fold,
    Folds,
    Fraction,
    PerClass,
    Seed,
    Share,
    Source,
    Split,
    divided,
)
from regraft.errors import RegraftError
from regraft.network import answers
from regraft.paths import cache_folder, make_whole

Name = Literal[
    "cifar10", "cifar100", "flowers102", "oxford_pets", "food101", "dtd", "eurosat", "fer2013"
]
# By split: uint8 (N, H, W) or (N, H, W, 3) or image files, and N class indices.
Parts = dict[str, tuple[np.ndarray | tuple[Path, ...], Sequence[int]]]

REACH_S = 8.0  # until a server that does not answer is taken for no network
STALL_S = 60.0  # without a byte, after which a download is given up; torchvision would wait forever
EMOTIONS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")

_ARCHIVES = (".gz", ".tgz", ".zip")
_log = logging.getLogger(__name__)


def published(
    seed: int,
    *,
    name: Name,
    root: Annotated[str, Len(1)] | None,
    download: bool,
    val_fraction: Fraction,
    test_fraction: Fraction,
    split_seed: Seed,
    fold: Fold,
    folds: Folds,
    per_class: PerClass,
    fraction: Share,
) -> Source:
    """The data set `name` with the splits that it was published with.

    It lies in `root` as torchvision keeps it, or else in `<cache>/datasets/<name>`; with `download`
    it is fetched if it is not there. What is missing of val and test is split off train, by class.
    Raises RegraftError for what cannot be had, naming the URL and the folder, and for a folder
    that is not whole.
    """
    base = Path(root).expanduser() if root else cache_folder() / "datasets" / name
    division = subset.Division(
        val_fraction=val_fraction,
        test_fraction=test_fraction,
        split_seed=split_seed,
        fold=fold,
        folds=folds,
    )
    if KNOWN[name].fetch is None and base.name == KNOWN[name].folder and any(base.glob("*.csv")):
        base = base.parent  # the folder itself was given
    whole = _published(name, base, download, division)
    return whole.few(seed, per_class=per_class, fraction=fraction)


@lru_cache(maxsize=2)
def _published(name: Name, root: Path, download: bool, division: subset.Division) -> Source:
    known = KNOWN[name]
    if not (root / known.folder).is_dir():
        if known.fetch is None:
            raise RegraftError(
                f"data={name}: no program can download it; log in at {known.url}, download "
                f"icml_face_data.csv (or fer2013.csv, or train.csv) and put it into "
                f"{root / known.folder}"
            )
        if not download:
            raise RegraftError(
                f"data={name}: there is no folder {root / known.folder}; let a training download "
                f"it (data.download=true), unpack {known.url} into it as torchvision does, or set "
                "data.root"
            )
        _fetch(name, known, root)
    try:
        classes, parts = known.read(root)
        splits = {split: _split(root, split, *part) for split, part in parts.items()}
    except (OSError, RuntimeError, ValueError, LookupError, EOFError, pickle.PickleError) as error:
        raise RegraftError(
            f"data={name}: {root / known.folder} is not whole ({_short(error)}); move it away "
            + ("and set data.download=true" if known.fetch else f"and get it anew: {known.url}")
        ) from error
    names = tuple(str(label).replace("_", " ") for label in classes)
    where = f"{name} in {root}"
    return divided((name, names), splits, division, where=where, named=published_as(splits))


def published_as(splits: Iterable[str]) -> str:
    """Which splits a set came with, in words."""
    return f"{', '.join(splits)} as published"


def _short(error: Exception) -> str:
    """Without torchvision's advice to call it in another way."""
    return str(error).partition(" You can ")[0].rstrip(".")


def _split(
    root: Path, split: str, images: np.ndarray | tuple[Path, ...], labels: Sequence[int]
) -> Split:
    if isinstance(images, np.ndarray):
        names = tuple(f"{split}/{index}" for index in range(len(images)))
    else:
        names = tuple(path.relative_to(root).as_posix() for path in images)
        if lost := [path for path in images if not path.is_file()]:
            raise FileNotFoundError(f"{len(lost)} images are missing, such as {lost[0]}")
    return Split(images, np.array(labels, dtype=np.int64), names)


def _fetch(name: str, known: "_Published", root: Path) -> None:
    """Let torchvision download and unpack it; the archives are not kept."""
    fetch = known.fetch
    assert fetch is not None

    def fill(folder: Path) -> Path:
        if not answers(known.url, within=REACH_S):
            raise URLError("the server does not answer; is there a network?")
        _log.warning("%s is not in %s yet: downloading %s", name, root, known.url)
        timeout = socket.getdefaulttimeout()
        socket.setdefaulttimeout(STALL_S)
        try:
            with unpacked_inside():
                fetch(folder, download=True)
        finally:
            socket.setdefaulttimeout(timeout)
        for archive in (folder / known.folder).iterdir():
            if archive.suffix in _ARCHIVES:
                archive.unlink()
        return folder / known.folder

    with _complaining(name, known, root):
        make_whole(root / known.folder, fill)
    _log.info("%s: downloaded to %s", name, root / known.folder)


@contextmanager
def unpacked_inside() -> Iterator[None]:
    """No member of a tar archive lands outside of its folder; zipfile sees to that by itself.

    torchvision checks an archive's MD5 before it unpacks it; this holds for whom that is too weak.
    """
    before = tarfile.TarFile.extraction_filter
    tarfile.TarFile.extraction_filter = staticmethod(tarfile.data_filter)
    try:
        yield
    finally:
        tarfile.TarFile.extraction_filter = before


@contextmanager
def _complaining(name: str, known: "_Published", root: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, HTTPException, RuntimeError, tarfile.TarError) as error:
        url, reason = known.url, str(error) or type(error).__name__
        if isinstance(error, HTTPError):
            error.close()
            url, reason = error.url or url, f"the server answered {error.code} {error.reason}"
        elif isinstance(error, URLError):
            reason = str(getattr(error.reason, "strerror", None) or error.reason)
        elif isinstance(error, TimeoutError):
            reason = f"nothing came for {STALL_S:g} s"
        elif isinstance(error, OSError):
            reason = error.strerror or reason
        elif isinstance(error, RuntimeError) and not isinstance(error, NotImplementedError):
            reason = "what came is cut off, or is not what was published (its checksum differs)"
        raise RegraftError(
            f"data={name}: {url} could not be downloaded to {root}: {reason}; nothing of it was "
            "kept, so start again when that is put right, or set data.root"
        ) from error


def _as_path(path: str | Path) -> Path:
    """A loader for torchvision that leaves the images on disk."""
    return Path(path)


def _cifar(kind: Callable[..., Any], root: Path) -> tuple[Sequence[str], Parts]:
    found = {"train": kind(root, train=True), "test": kind(root, train=False)}
    parts: Parts = {s: (np.ascontiguousarray(d.data), d.targets) for s, d in found.items()}
    return found["train"].classes, parts


def _files(
    kind: Callable[..., Any], splits: tuple[str, ...], root: Path
) -> tuple[Sequence[str], Parts]:
    asked = {split: {"split": split} for split in splits} or {"train": {}}
    found = {s: kind(root, loader=_as_path, **words) for s, words in asked.items()}
    if len({tuple(data.classes) for data in found.values()}) > 1:
        raise ValueError("its splits have different classes")
    parts: Parts = {}
    for split, data in found.items():
        paths, labels = zip(*(data[index] for index in range(len(data))), strict=True)
        parts[split] = (paths, labels)
    return found["train"].classes, parts


def _pets(root: Path) -> tuple[Sequence[str], Parts]:
    """Read from its lists: this class of torchvision has no `loader`, it opens every image."""
    folder, parts = root / "oxford-iiit-pet", dict[str, Any]()
    for split, file in {"train": "trainval", "test": "test"}.items():
        rows = (folder / "annotations" / f"{file}.txt").read_text(encoding="utf-8").split("\n")
        fields = [row.split() for row in rows if row]
        paths = tuple(folder / "images" / f"{image}.jpg" for image, *_ in fields)
        parts[split] = (paths, [int(label) - 1 for _, label, *_ in fields])
    return OxfordIIITPet(root, split="trainval").classes, parts


def _faces(root: Path) -> tuple[Sequence[str], Parts]:
    """Read from its table: torchvision joins the public test, which is val, and the private one.

    Of its files only those with `Usage` have labels for them; train.csv is train alone.
    """
    folder = root / "fer2013"
    tables = [folder / f"{name}.csv" for name in ("fer2013", "icml_face_data", "train")]
    table = next((path for path in tables if path.is_file()), None)
    if table is None:
        raise FileNotFoundError("none of fer2013.csv, icml_face_data.csv and train.csv is in it")
    usages = {"Training": "train", "PublicTest": "val", "PrivateTest": "test"}
    images: dict[str, list[np.ndarray]] = {}
    labels: dict[str, list[int]] = {}
    with table.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file, skipinitialspace=True)
        for row in reader:
            split = usages[row.get("Usage", "Training")]
            pixels = np.fromstring(row["pixels"] or "", dtype=np.uint8, sep=" ")
            images.setdefault(split, []).append(pixels.reshape(48, 48))
            labels.setdefault(split, []).append(int(row["emotion"]))
    if "Usage" in (reader.fieldnames or ()) and len(images) < len(usages):
        raise ValueError(f"{table.name} is cut off")
    parts: Parts = {split: (np.stack(found), labels[split]) for split, found in images.items()}
    return EMOTIONS, parts


class _Published(NamedTuple):
    folder: str  # in which torchvision keeps it
    url: str  # of what is downloaded, or of the page where a person can do so
    fetch: Callable[..., Any] | None
    read: Callable[[Path], tuple[Sequence[str], Parts]]


_THREE, _TWO = ("train", "val", "test"), ("train", "test")
_OXFORD = "https://www.robots.ox.ac.uk/~vgg/data"
KNOWN: dict[str, _Published] = {
    "cifar10": _Published(
        "cifar-10-batches-py", str(CIFAR10.url), CIFAR10, partial(_cifar, CIFAR10)
    ),
    "cifar100": _Published(
        "cifar-100-python", str(CIFAR100.url), CIFAR100, partial(_cifar, CIFAR100)
    ),
    "flowers102": _Published(
        "flowers-102",
        f"{_OXFORD}/flowers/102/102flowers.tgz",
        Flowers102,
        partial(_files, Flowers102, _THREE),
    ),
    "oxford_pets": _Published(
        "oxford-iiit-pet", f"{_OXFORD}/pets/data/images.tar.gz", OxfordIIITPet, _pets
    ),
    "food101": _Published(
        "food-101",
        "http://data.vision.ee.ethz.ch/cvl/food-101.tar.gz",
        Food101,
        partial(_files, Food101, _TWO),
    ),
    "dtd": _Published(
        "dtd", f"{_OXFORD}/dtd/download/dtd-r1.0.1.tar.gz", DTD, partial(_files, DTD, _THREE)
    ),
    "eurosat": _Published(
        "eurosat",
        "https://huggingface.co/datasets/torchgeo/eurosat/resolve/"
        "c877bcd43f099cd0196738f714544e355477f3fd/EuroSAT.zip",
        EuroSAT,
        partial(_files, EuroSAT, ()),
    ),
    "fer2013": _Published(
        "fer2013",
        "https://www.kaggle.com/c/challenges-in-representation-learning-facial-expression-"
        "recognition-challenge",
        None,
        _faces,
    ),
}
