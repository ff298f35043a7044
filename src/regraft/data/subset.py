"""Which images: nested subsets and stratified splits, pure functions of labels and seed."""

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

from regraft.errors import RegraftError


def few(
    labels: np.ndarray,
    classes: Sequence[str],
    *,
    seed: int,
    per_class: int | None = None,
    fraction: float | None = None,
) -> np.ndarray:
    """Sorted indices of `per_class` images of each class, or of a `fraction` of them; all of them
    with neither. For one seed, fewer lie within more; a fraction leaves at least one of each class.

    Raises RegraftError for both at once, and naming a class that has too few.
    """
    if per_class is not None and fraction is not None:
        raise RegraftError(
            f"data.per_class={per_class} and data.fraction={fraction:g} both say how many images "
            "to train on; set one of them to null"
        )
    if per_class is not None and per_class < 1:
        raise RegraftError(f"data.per_class={per_class}: take at least 1 image per class")
    chosen = []
    for name, shuffled in _shuffled(labels, classes, seed):
        count = len(shuffled)
        if fraction is not None:
            count = max(1, round(fraction * count))
        if per_class is not None:
            count = per_class
        if len(shuffled) < count:
            raise RegraftError(
                f"data.per_class={per_class}, but class '{name}' has {len(shuffled)} training "
                f"images; set data.per_class={max(1, len(shuffled))} or less, or add images"
            )
        chosen.append(shuffled[:count])
    return np.sort(np.concatenate(chosen))


def some(labels: np.ndarray, most: int) -> np.ndarray:
    """Sorted indices of about `most` images: of each class its share, and at least two.

    Always the same for the same labels; all where there are no more.

    >>> some(np.array([0] * 30 + [1] * 2 + [2] * 8), 10).size
    12
    """
    rng, share = np.random.default_rng(0), min(1.0, most / len(labels))
    chosen = []
    for label in np.unique(labels):
        own = rng.permutation(np.flatnonzero(labels == label))
        chosen.append(own[: max(2, round(share * len(own)))])
    return np.sort(np.concatenate(chosen))


JudgeBy = Literal["val", "test"]
NONE = {
    "val": "no val, so the weights of the last epoch are taken",
    "test": "no test, so val judges, which also chooses the epoch",
}


@dataclass(frozen=True, kw_only=True)
class Division:
    """How images that have no split of their own are divided, as the keys of `data` say it.

    By fractions, of which one may be 0; or, where a `fold` is given, in so many `folds` of equal
    size: one is for test and the next for val, and over all folds each image is for test once.
    Images of one group stay together. A set with a val of its own is judged by "val", and no test
    is split off, or by a "test" that is.
    """

    val_fraction: float
    test_fraction: float
    split_seed: int
    fold: int | None
    folds: int
    judge_by: JudgeBy = "test"

    def taken(self, missing: Sequence[str]) -> list[str]:
        """Which of the `missing` splits are split off train.

        Raises RegraftError if neither val nor test would be there to judge by.
        """
        if self.fold is not None:
            return list(missing)
        own_val = "val" not in missing and self.judge_by == "val"
        fractions = {"val": self.val_fraction, "test": 0 if own_val else self.test_fraction}
        found = [name for name in missing if fractions[name] > 0]
        if len(missing) == 2 and not found:
            raise RegraftError(
                "data.val_fraction=0 and data.test_fraction=0 leave no image to judge by; keep one"
            )
        return found

    def parts(
        self,
        labels: np.ndarray,
        classes: Sequence[str],
        missing: Sequence[str],
        groups: np.ndarray | None = None,
    ) -> dict[str, np.ndarray]:
        """Sorted indices of "train" and of each of the `missing` splits, all with every class, or
        with no image where it is not to be split off.

        `groups` (N,) names each image's group. Raises RegraftError where that cannot be done.
        """
        if self.fold is None:
            taken = self.taken(missing)
            none = {name: np.arange(0) for name in missing}
            if not taken:
                return {"train": np.arange(len(labels)), **none}
            fractions = [getattr(self, f"{name}_fraction") for name in taken]
            if groups is None:
                found = split(labels, classes, fractions=fractions, seed=self.split_seed)
            else:
                found = split_groups(
                    labels, groups, classes, fractions=fractions, seed=self.split_seed
                )
            return none | dict(zip(["train", *taken], found, strict=True))
        self._check(missing)
        folds = self._folds(labels, classes, groups)
        held = {
            name: folds[(self.fold + step) % self.folds]
            for step, name in enumerate(reversed(missing))
        }
        rest = np.setdiff1d(np.arange(len(labels)), np.concatenate(list(held.values())))
        found_parts = {"train": rest, **held}
        if groups is not None:
            _refuse_absent(found_parts.values(), labels, groups, classes, needed=self.folds)
        return found_parts

    def words(self, sizes: Mapping[str, int], *, grouped: bool = False) -> str:
        """What was split off and how, and what there is none of, for the log."""
        counts = " and ".join(f"{size} images for {name}" for name, size in sizes.items() if size)
        by = "by class and group" if grouped else "by class"
        how = f"fold {self.fold} of {self.folds}, " if self.fold is not None else ""
        off = f"{counts} split off train {by} ({how}split_seed={self.split_seed})"
        return "; ".join([off] * bool(counts) + [NONE[n] for n, size in sizes.items() if not size])

    def _check(self, missing: Sequence[str]) -> None:
        if not missing:
            raise RegraftError(
                f"data.fold={self.fold}: this data set comes with train, val and test, so there is "
                "nothing to divide; set data.fold=null"
            )
        if self.folds <= len(missing):
            raise RegraftError(
                f"data.folds={self.folds}: {' and '.join(missing)} take a fold each, and one must "
                f"be left to train on; set data.folds={len(missing) + 1} or more"
            )
        if not 0 <= (self.fold or 0) < self.folds:
            raise RegraftError(
                f"data.fold={self.fold}: with data.folds={self.folds} the folds are 0 to "
                f"{self.folds - 1}"
            )

    def _folds(
        self, labels: np.ndarray, classes: Sequence[str], groups: np.ndarray | None
    ) -> list[np.ndarray]:
        """Sorted indices of each fold."""
        counts = np.bincount(labels, minlength=len(classes))
        if (few := counts < self.folds).any():
            name, count = classes[int(few.argmax())], int(counts[few.argmax()])
            raise RegraftError(
                f"class '{name}' has {count} image{'s' * (count != 1)}, fewer than "
                f"data.folds={self.folds}; add images or set data.folds lower"
            )
        if groups is not None and (count := len(np.unique(groups))) < self.folds:
            raise RegraftError(
                f"data.folds={self.folds}, but there are {count} groups only; set it lower"
            )
        kind = StratifiedKFold if groups is None else StratifiedGroupKFold
        cutter = kind(self.folds, shuffle=True, random_state=self.split_seed)
        return [part for _, part in cutter.split(labels, labels, groups)]


def split(
    labels: np.ndarray, classes: Sequence[str], *, fractions: Sequence[float], seed: int
) -> list[np.ndarray]:
    """Sorted indices of the rest, then of one part per fraction; every class is in every part.

    Raises RegraftError for fractions that leave no rest, and naming a class that is too small.
    """
    if min(fractions) <= 0 or sum(fractions) >= 1:
        given = " + ".join(f"{fraction:g}" for fraction in fractions)
        raise RegraftError(
            f"split fractions {given}: each must be above 0 and their sum below 1, "
            "or nothing is left for training"
        )
    parts: list[list[np.ndarray]] = [[] for _ in range(1 + len(fractions))]
    for name, shuffled in _shuffled(labels, classes, seed):
        if len(shuffled) < len(parts):
            raise RegraftError(
                f"class '{name}' has {len(shuffled)} image{'s' * (len(shuffled) != 1)}, but the "
                f"split needs at least {len(parts)} per class; add images or remove the class"
            )
        sizes = _sizes(len(shuffled), fractions)
        for part, piece in zip(parts, np.split(shuffled, np.cumsum(sizes)[:-1]), strict=True):
            part.append(piece)
    return [np.sort(np.concatenate(part)) for part in parts]


def split_groups(
    labels: np.ndarray,
    groups: np.ndarray,
    classes: Sequence[str],
    *,
    fractions: Sequence[float],
    seed: int,
) -> list[np.ndarray]:
    """Like `split`, but images of one group stay together; parts are as large as that allows.

    `groups` (N,) names each image's group. Raises RegraftError, naming it, for a class that the
    groups keep out of a part.
    """
    rest, parts = np.arange(len(labels)), []
    left, needed = 1.0, 1 + len(fractions)
    for fraction in fractions:
        wanted = max(2, round(left / fraction))
        needed = max(needed, wanted)
        # More folds than there are groups, or images in the largest class, cannot be cut.
        folds = min(wanted, len(np.unique(groups[rest])), np.bincount(labels[rest]).max())
        if folds < 2:
            parts.append(rest[:0])
            continue
        folder = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a class with fewer images than folds
            keep, take = next(folder.split(rest, labels[rest], groups[rest]))
        parts.append(rest[take])
        rest, left = rest[keep], left - fraction
    _refuse_absent((rest, *parts), labels, groups, classes, needed=needed)
    return [rest, *parts]


def _refuse_absent(
    parts: Iterable[np.ndarray],
    labels: np.ndarray,
    groups: np.ndarray,
    classes: Sequence[str],
    *,
    needed: int,
) -> None:
    """Raises RegraftError, naming it, for a class that its groups keep out of a part.

    With as many groups as are `needed`, a class is in every part, unless their sizes differ much.
    """
    for part in parts:
        if absent := set(range(len(classes))) - set(labels[part].tolist()):
            label = min(absent)
            count = len(np.unique(groups[labels == label]))
            raise RegraftError(
                f"class '{classes[label]}' has its images in {count} group{'s' * (count != 1)}, "
                f"too few to be in every split; give it {max(needed, count + 1)} or more, "
                "name the splits, or ignore the groups with data.group_column=''"
            )


def _sizes(count: int, fractions: Sequence[float]) -> list[int]:
    """How many of `count` images go to the rest and to each part: nearest, but never none.

    >>> _sizes(100, [0.1, 0.2]), _sizes(3, [0.1, 0.2]), _sizes(4, [0.45, 0.45])
    ([70, 10, 20], [1, 1, 1], [1, 1, 2])
    """
    sizes = [max(1, round(count * fraction)) for fraction in fractions]
    while sum(sizes) >= count:
        sizes[sizes.index(max(sizes))] -= 1
    return [count - sum(sizes), *sizes]


def _shuffled(
    labels: np.ndarray, classes: Sequence[str], seed: int
) -> Iterator[tuple[str, np.ndarray]]:
    for label, name in enumerate(classes):
        # A stream per class: what one class gets does not depend on how large the others are.
        rng = np.random.default_rng([seed, label])
        yield name, rng.permutation(np.flatnonzero(labels == label))
