"""Where images come from. Every source gives train, val and test, and names its classes once."""

import logging
import re
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from annotated_types import Ge, Gt, Lt
from sklearn.datasets import load_digits

from regraft.data import subset
from regraft.data.fractals import cached
from regraft.data.transforms import EXTENSIONS
from regraft.errors import RegraftError, did_you_mean
from regraft.fingerprint import fingerprint

_log = logging.getLogger(__name__)
_SPLITS = {"train": "train", "test": "test"} | dict.fromkeys(("val", "valid", "validation"), "val")
_NOT_OURS = {"Thumbs.db", "__MACOSX", "@eaDir", "lost+found"}

PerClass = Annotated[int, Gt(0)] | None
Count = Annotated[int, Gt(0)]
Fraction = Annotated[float, Gt(0), Lt(1)]
Seed = Annotated[int, Ge(0)]


@dataclass(frozen=True, eq=False)
class Split:
    """Some images with their labels."""

    images: np.ndarray | tuple[Path, ...]  # uint8 (N, H, W) or (N, H, W, 3), or image files
    labels: np.ndarray  # int64 (N,)
    names: tuple[str, ...]  # what predictions.csv calls each image

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def fingerprint(self) -> str:
        """SHA-256 over the images' content, in their order."""
        return (
            self._fingerprint if isinstance(self.images, np.ndarray) else fingerprint(self.images)
        )

    @cached_property
    def _fingerprint(self) -> str:
        return fingerprint(self.images)  # of arrays, to which nobody writes

    def take(self, indices: np.ndarray) -> "Split":
        """The images at these places, in this order."""
        images = self.images
        return Split(
            images[indices] if isinstance(images, np.ndarray) else _pick(images, indices),
            self.labels[indices],
            _pick(self.names, indices),
        )


@dataclass(frozen=True, eq=False)
class Source:
    """Three splits without an image in common, and the classes that their labels count through."""

    name: str
    classes: tuple[str, ...]
    train: Split
    val: Split
    test: Split

    def few(self, per_class: int | None, seed: int) -> "Source":
        """The same val and test with `per_class` training images of each class; None keeps all.

        For one seed, fewer images lie within more. Raises RegraftError if a class has too few.
        """
        if per_class is None:
            return self
        chosen = subset.few(self.train.labels, self.classes, per_class=per_class, seed=seed)
        return replace(self, train=self.train.take(chosen))


def digits(seed: int, *, per_class: PerClass, split_seed: Seed) -> Source:
    """Scikit-learn's 1797 handwritten digits, 8 x 8 grey, split 70 : 10 : 20 by class."""
    return _digits(split_seed).few(per_class, seed)


@lru_cache(maxsize=2)
def _digits(split_seed: int) -> Source:
    data = load_digits()
    images = np.round(data.images * (255 / 16)).astype(np.uint8)
    labels = data.target.astype(np.int64)
    classes = tuple(str(name) for name in data.target_names)
    parts = subset.split(labels, classes, fractions=(0.1, 0.2), seed=split_seed)
    train, val, test = (
        Split(images[part], labels[part], tuple(f"{name}/{index}" for index in part))
        for name, part in zip(("train", "val", "test"), parts, strict=True)
    )
    return Source("digits", classes, train, val, test)


def fractals(
    seed: int,
    *,
    role: Literal["source", "target"],
    classes: Annotated[int, Ge(2)],
    train: Count,
    val: Count,
    test: Count,
    size: Annotated[int, Ge(8)],
    fractal_seed: Seed,
    per_class: PerClass,
) -> Source:
    """Formula-driven images, `train`, `val` and `test` of each class, `size` pixels square.

    Classes of the role "source" are for pretraining; no "target" class is among them. Val and test
    are the same images however many there are to train on.
    """

    return _fractals(role, classes, train, val, test, size, fractal_seed).few(per_class, seed)


@lru_cache(maxsize=2)
def _fractals(
    role: Literal["source", "target"],
    classes: int,
    train: int,
    val: int,
    test: int,
    size: int,
    fractal_seed: int,
) -> Source:
    def split(name: str, start: int, count: int) -> Split:
        images = cached(role, classes, count, size=size, seed=fractal_seed, start=start)
        labels = np.repeat(np.arange(classes, dtype=np.int64), count)
        return Split(images, labels, tuple(f"{name}/{index}" for index in range(len(labels))))

    digits_needed = len(str(classes - 1))
    return Source(
        "fractals",
        tuple(f"{role}_{index:0{digits_needed}d}" for index in range(classes)),
        train=split("train", test + val, train),
        val=split("val", test, val),
        test=split("test", 0, test),
    )


def image_folder(
    seed: int,
    *,
    root: str,
    val_fraction: Fraction,
    test_fraction: Fraction,
    split_seed: Seed,
    per_class: PerClass,
) -> Source:
    """A folder with one sub-folder of images per class, or with such folders in train, val, test.

    What is missing of val and test is split off train, by class. The training classes, in natural
    order, are the classes; val and test must not know others. Raises RegraftError for a folder
    that is not one of these, naming the folder or the class.
    """
    base = _existing(root)
    whole = _image_folder(base, val_fraction, test_fraction, split_seed, _state(base))
    return whole.few(per_class, seed)


@lru_cache(maxsize=2)
def _image_folder(
    base: Path, val_fraction: float, test_fraction: float, split_seed: int, state: object
) -> Source:
    """The folder, which is not scanned again as long as it is in the same `state`."""
    found = {name: _scan(folder) for name, folder in _split_folders(base).items()}
    classes = _classes(found["train"])
    for name in found.keys() - {"train"}:
        _check_classes(found[name], classes, split=name)
    splits = {name: _files(layout, classes, base) for name, layout in found.items()}
    fractions = {"val": val_fraction, "test": test_fraction}
    if missing := [name for name in fractions if name not in splits]:
        whole, parts = splits["train"], [fractions[name] for name in missing]
        indices = subset.split(whole.labels, classes, fractions=parts, seed=split_seed)
        splits |= {n: whole.take(i) for n, i in zip(["train", *missing], indices, strict=True)}
        sizes = " and ".join(f"{len(splits[name])} images for {name}" for name in missing)
        _log.info("%s: %s split off train by class (split_seed=%d)", base, sizes, split_seed)
    return Source(base.resolve().name, classes, **splits)


def _state(base: Path) -> tuple[tuple[Path, int], ...]:
    """What differs once a file or a class is added to the folder or taken from it."""
    folders = [base, *(path for path in _entries(base) if path.is_dir())]
    folders += [path for folder in folders[1:] for path in _entries(folder) if path.is_dir()]
    return tuple((path, path.stat().st_mtime_ns) for path in folders)


@dataclass(frozen=True)
class _Layout:
    """What lies in a folder of class folders."""

    folder: Path
    images: dict[str, list[Path]]  # by class folder, empty ones included
    loose: int  # images beside the class folders


def _existing(root: str) -> Path:
    if not root.strip():
        raise RegraftError("data.root is empty; give the folder of class folders")
    base = Path(root).expanduser()
    if base.is_dir():
        return base
    if base.exists():
        raise RegraftError(f"data.root={root} is a file; give the folder of class folders")
    lost = next(p for p in [*reversed(base.parents), base] if not p.exists())
    near = [p.name for p in _entries(lost.parent) if p.is_dir()] if lost.parent.is_dir() else []
    hint = did_you_mean(lost.name, near) or "; give the folder of class folders"
    raise RegraftError(f"data.root={root}: there is no folder '{lost}'{hint}")


def _split_folders(base: Path) -> dict[str, Path]:
    """The folder of each split that is there; a folder without splits is all train."""
    inside = [path for path in _entries(base) if path.is_dir()]
    found: dict[str, Path] = {}
    for path in inside:
        if (split := _SPLITS.get(path.name.lower())) in found:
            raise RegraftError(f"{base} has both '{found[split].name}' and '{path.name}'; keep one")
        if split:
            found[split] = path
    others = [path.name for path in inside if path not in found.values()]
    if "train" not in found and found:
        odd = next(iter(found.values())).name
        way_out = f"move the class folders into '{base / 'train'}'" if others else "add 'train'"
        raise RegraftError(f"{base} has a folder '{odd}' but no 'train'; {way_out}")
    is_class = others and not any(path.is_dir() for path in _entries(found.get("train", base)))
    if not found or is_class:
        return {"train": base}
    if others:
        _log.warning("%s: ignored beside train: %s", base, ", ".join(others))
    return found


def _scan(folder: Path) -> _Layout:
    inside = _entries(folder)
    # Links that lead back up are not followed: they would bring in other classes, or never end.
    above = {_identity(path) for path in (folder.resolve(), *folder.resolve().parents)}
    images = {path.name: _images(path, set(above)) for path in inside if path.is_dir()}
    loose = sum(path.suffix.lower() in EXTENSIONS for path in inside if path.name not in images)
    return _Layout(folder, images, loose)


def _images(folder: Path, seen: set[tuple[int, int]]) -> list[Path]:
    """The image files under a folder, in natural order; each real folder is entered once."""
    if (identity := _identity(folder)) in seen:
        return []
    seen.add(identity)
    images = []
    for path in _entries(folder):
        if path.suffix.lower() in EXTENSIONS:  # asked first: it needs no look at the disk
            images.append(path)
        elif path.is_dir():
            images += _images(path, seen)
    return images


def _classes(train: _Layout) -> tuple[str, ...]:
    """The class folders by name, or RegraftError saying why they are none to train on."""
    folder, images = train.folder, train.images
    if not any(images.values()):
        if train.loose:
            raise RegraftError(
                f"{folder} holds {train.loose} images but no class folders with images; "
                "put the images of each class into a folder of its own"
            )
        raise RegraftError(f"{folder} holds no images; give the folder of class folders")
    if empty := [name for name, files in images.items() if not files]:
        raise RegraftError(
            f"class folder '{empty[0]}' in {folder} holds no images; add some or delete it"
        )
    if len(images) == 1:
        [name] = images
        inner = any(path.is_dir() for path in _entries(folder / name))
        hint = f", or set data.root={folder / name}" if inner else ""
        raise RegraftError(f"{folder} has one class only, '{name}'; give at least two{hint}")
    if train.loose:
        _log.warning("%s: %d images outside the class folders are ignored", folder, train.loose)
    return tuple(images)


def _check_classes(layout: _Layout, classes: tuple[str, ...], *, split: str) -> None:
    present = [name for name, files in layout.images.items() if files]
    if not present:
        raise RegraftError(f"{layout.folder} holds no class folders with images; fill or delete it")
    if unknown := [name for name in present if name not in classes]:
        hint = did_you_mean(unknown[0], classes) or "; add it to train or delete it"
        raise RegraftError(f"{layout.folder} has a class '{unknown[0]}' that train lacks{hint}")
    if absent := [name for name in classes if name not in present]:
        _log.warning("%s has no images of %s", split, ", ".join(absent))


def _files(layout: _Layout, classes: tuple[str, ...], base: Path) -> Split:
    files = [layout.images.get(name, []) for name in classes]
    paths = tuple(path for group in files for path in group)
    labels = np.repeat(np.arange(len(classes), dtype=np.int64), [len(group) for group in files])
    return Split(paths, labels, tuple(path.relative_to(base).as_posix() for path in paths))


def _entries(folder: Path) -> list[Path]:
    """What a person sees in a folder, in natural order."""
    try:
        paths = [path for path in folder.iterdir() if not path.name.startswith(".")]
    except OSError as error:
        raise RegraftError(f"{folder} cannot be read: {error.strerror}") from error
    return sorted((path for path in paths if path.name not in _NOT_OURS), key=_natural)


def _natural(path: Path) -> tuple[list[str | int], str]:
    """Sorts "class 2" before "class 10".

    >>> [path.name for path in sorted([Path("b10"), Path("B2"), Path("a")], key=_natural)]
    ['a', 'B2', 'b10']
    """
    pieces: list[str | int] = [*re.split(r"(\d+)", path.name.casefold())]
    pieces[1::2] = map(int, pieces[1::2])
    return pieces, path.name


def _identity(folder: Path) -> tuple[int, int]:
    stat = folder.stat()
    return stat.st_dev, stat.st_ino


def _pick(values: tuple, indices: np.ndarray) -> tuple:
    return tuple(values[index] for index in indices)
