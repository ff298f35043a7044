"""Which images: nested subsets and stratified splits, pure functions of labels and seed."""

import warnings
from collections.abc import Iterator, Sequence

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold

from regraft.errors import RegraftError


def few(labels: np.ndarray, classes: Sequence[str], *, per_class: int, seed: int) -> np.ndarray:
    """Sorted indices of `per_class` images of each class; for one seed, fewer lie within more.

    Raises RegraftError naming a class that has not so many.
    """
    if per_class < 1:
        raise RegraftError(f"data.per_class={per_class}: take at least 1 image per class")
    chosen = []
    for name, shuffled in _shuffled(labels, classes, seed):
        if len(shuffled) < per_class:
            raise RegraftError(
                f"data.per_class={per_class}, but class '{name}' has {len(shuffled)} training "
                f"images; set data.per_class={max(1, len(shuffled))} or less, or add images"
            )
        chosen.append(shuffled[:per_class])
    return np.sort(np.concatenate(chosen))


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
    left = 1.0
    for fraction in fractions:
        folds = min(max(2, round(left / fraction)), len(np.unique(groups[rest])))
        if folds < 2:
            raise RegraftError("a split by group needs at least as many groups as it has parts")
        folder = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a class with fewer images than folds
            keep, take = next(folder.split(rest, labels[rest], groups[rest]))
        parts.append(rest[take])
        rest, left = rest[keep], left - fraction
    for part in (rest, *parts):
        absent = set(range(len(classes))) - set(labels[part].tolist())
        if absent:
            raise RegraftError(
                f"class '{classes[min(absent)]}' has its images in too few groups for a split; "
                "add groups, name the splits, or leave data.group_column=null"
            )
    return [rest, *parts]


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
