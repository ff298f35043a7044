"""Where images come from. Every source gives train, val and test, and names its classes once."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from annotated_types import Ge, Gt, Le, Lt
from sklearn.datasets import load_digits

from regraft.data import subset
from regraft.data.fractals import cached
from regraft.data.readable import Skipped
from regraft.data.white import USUAL, Rule, Whites, measured
from regraft.fingerprint import fingerprint

_log = logging.getLogger(__name__)

PerClass = Annotated[int, Gt(0)] | None
Share = Annotated[float, Gt(0), Le(1)] | None
Fold = Annotated[int, Ge(0)] | None
Folds = Annotated[int, Ge(2)]
Count = Annotated[int, Gt(0)]
Seed = Annotated[int, Ge(0)]
Fraction = Annotated[float, Ge(0), Lt(1)]


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
    skipped: tuple[Skipped, ...] = ()  # what is in none of them, because it cannot be read
    origin: str = ""  # what serves as which split and where a missing one comes from, in words
    left_out: tuple[str, ...] = ()  # a line for each class of which files are no images to us
    litter: str = ""  # what nobody takes for an image, by its kinds
    # The other spellings of a class that were merged into it.
    merged: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()  # what else was done that the images do not show
    white: Whites = USUAL  # of images of more than eight bits

    @property
    def files(self) -> list[Path]:
        """All that are image files."""
        splits = (split.images for split in (self.train, self.val, self.test))
        return [path for images in splits if isinstance(images, tuple) for path in images]

    def said(self) -> dict[str, Any]:
        """What result.json keeps of how the images were read, as far as there is anything."""
        merged = {name: list(labels) for name, labels in self.merged.items()}
        told = {"splits": self.origin, "merged_labels": merged, "remarks": list(self.remarks)}
        return {name: value for name, value in told.items() if value}

    def scaled(self, rule: Rule) -> "Source":
        """The same with what is white in it; itself where that is known already."""
        white = measured(self.files, rule)
        return self if white == self.white else replace(self, white=white)

    def few(self, seed: int, *, per_class: int | None, fraction: float | None) -> "Source":
        """The same val and test with fewer training images: `per_class`, or a `fraction` by class.

        For one seed, fewer images lie within more. Raises RegraftError if a class has too few.
        """
        if per_class is None and fraction is None:
            return self
        labels = self.train.labels
        chosen = subset.few(labels, self.classes, per_class=per_class, fraction=fraction, seed=seed)
        return replace(self, train=self.train.take(chosen))


def digits(
    seed: int,
    *,
    split_seed: Seed,
    fold: Fold,
    folds: Folds,
    per_class: PerClass,
    fraction: Share,
) -> Source:
    """Scikit-learn's 1797 handwritten digits, 8 x 8 grey, split 70 : 10 : 20 by class."""
    division = subset.Division(
        val_fraction=0.1, test_fraction=0.2, split_seed=split_seed, fold=fold, folds=folds
    )
    return _digits(division).few(seed, per_class=per_class, fraction=fraction)


@lru_cache(maxsize=2)
def _digits(division: subset.Division) -> Source:
    data = load_digits()
    images = np.round(data.images * (255 / 16)).astype(np.uint8)
    labels = data.target.astype(np.int64)
    classes = tuple(str(name) for name in data.target_names)
    parts = division.parts(labels, classes, ["val", "test"])

    def part(name: str) -> Split:
        chosen = parts[name]
        names = tuple(f"{name}/{index}" for index in chosen)
        return Split(images[chosen], labels[chosen], names)

    return Source("digits", classes, part("train"), part("val"), part("test"))


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
    fraction: Share,
) -> Source:
    """Formula-driven images, `train`, `val` and `test` of each class, `size` pixels square.

    Classes of the role "source" are for pretraining; no "target" class is among them. Val and test
    are the same images however many there are to train on.
    """

    whole = _fractals(role, classes, train, val, test, size, fractal_seed)
    return whole.few(seed, per_class=per_class, fraction=fraction)


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


def divided(
    source: tuple[str, tuple[str, ...]],
    found: dict[str, Split],
    division: subset.Division,
    *,
    where: object,
    named: str = "",
) -> Source:
    """The source of this name and classes: the splits that were found, and what is missing of val
    and test split off train. `named` says what serves as those that were found."""
    name, classes = source
    missing = [split for split in ("val", "test") if split not in found]
    origin = named
    if missing or division.fold is not None:
        whole = found["train"]
        parts = division.parts(whole.labels, classes, missing)
        origin = joined(named, division.words({split: len(parts[split]) for split in missing}))
        found = found | {split: whole.take(indices) for split, indices in parts.items()}
    _log.info("%s: %s", where, origin)
    train, val, test = (found[split] for split in ("train", "val", "test"))
    return Source(name, classes, train, val, test, origin=origin)


def joined(*sentences: str) -> str:
    """What is said of the splits, in one line."""
    return "; ".join(filter(None, sentences))


def said(log: logging.Logger, where: object, *remarks: str) -> tuple[str, ...]:
    """The remarks on a source, which are logged as well."""
    for remark in remarks:
        log.warning("%s: %s", where, remark)
    return remarks


def _pick(values: tuple, indices: np.ndarray) -> tuple:
    return tuple(values[index] for index in indices)
