"""Images of one's own, listed in a table: a row per image with its label, split and group."""

import logging
import os
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from regraft.data import splits, subset
from regraft.data.folders import refuse_link_out
from regraft.data.labels import MergeLabels, OnMissing, merged_in_words, settled
from regraft.data.labels import merged as merged_labels
from regraft.data.names import natural, some
from regraft.data.readable import OnError, Skipped, unreadable
from regraft.data.sources import (
    Fold,
    Folds,
    Fraction,
    PerClass,
    Seed,
    Share,
    Source,
    Split,
    joined,
    said,
)
from regraft.data.table import Columns, Row, as_posix, is_file, read, spelt_as_on_disk
from regraft.data.white import Rule
from regraft.errors import RegraftError, did_you_mean

_log = logging.getLogger(__name__)
# What paths are that no folder makes right, by how they begin.
_OF_ELSEWHERE = {
    "(?i)file://": "addresses: write paths without file://",
    r"(?i)[a-z][a-z0-9+.-]+://": "addresses: download the files, and write where they lie",
    "(?i)[a-z]:/": "paths of a Windows drive: write them from a folder here on",
    "//": "paths of a Windows share: write them from a folder here on",
    "~": "paths from a home folder: write them without ~",
}


def manifest(
    seed: int,
    *,
    path: str,
    root: str | None,
    on_error: OnError,
    follow_links: bool,
    white: Rule = "auto",
    path_column: str,
    label_column: str,
    split_column: str | None,
    group_column: str | None,
    encoding: str | None = None,
    on_missing: OnMissing = "error",
    merge_labels: MergeLabels = None,
    val_fraction: Fraction,
    test_fraction: Fraction,
    judge_by: subset.JudgeBy = "test",
    split_seed: Seed,
    fold: Fold,
    folds: Folds,
    per_class: PerClass,
    fraction: Share,
) -> Source:
    """The images that a CSV or Parquet file lists, with a label each.

    Paths lie in `root`, or else in the file's folder; links out of it are refused unless
    `follow_links`. What is missing of val and test is split off train by class; images of one
    group (a patient, a burst of photographs) always stay together. With `on_error` "skip", images
    that cannot be read are left out first, with `on_missing` "skip" rows without a path, a label or
    a split. Labels that look alike are one class if `merge_labels`, several if it is False. Raises
    RegraftError, naming the row or the column, for a table that is wrong.
    """
    file, base = existing(path, root)
    columns = Columns(path_column, label_column, split_column, group_column)
    stat = file.stat()
    state = (stat.st_ino, stat.st_size, stat.st_mtime_ns)
    division = subset.Division(
        val_fraction=val_fraction,
        test_fraction=test_fraction,
        judge_by=judge_by,
        split_seed=split_seed,
        fold=fold,
        folds=folds,
    )
    rules = _Rules(encoding, on_error, on_missing, merge_labels, follow_links)
    whole = _manifest(file, base, columns, division, rules, state)
    whole = whole.scaled(white)
    return whole.few(seed, per_class=per_class, fraction=fraction)


def existing(path: str, root: str | None) -> tuple[Path, Path]:
    """The table, and the folder in which its paths begin; RegraftError if there is none."""
    file = Path(path).expanduser()
    if not file.is_file():
        if file.is_dir():
            raise RegraftError(
                f"data.path={path} is a folder; give a table of images, or "
                f"data=image_folder data.root={path}"
            )
        beside = [p.name for p in file.parent.iterdir()] if file.parent.is_dir() else []
        hint = did_you_mean(file.name, beside) or "; give a CSV or Parquet file"
        raise RegraftError(f"data.path={path}: there is no such file{hint}")
    base = Path(root).expanduser() if root else file.parent
    if not base.is_dir():
        raise RegraftError(f"data.root={root}: there is no such folder")
    return file, base


class _Rules(NamedTuple):
    """What is to be done with what is not as it should be."""

    encoding: str | None
    on_error: OnError
    on_missing: OnMissing
    merge_labels: MergeLabels
    follow_links: bool


@lru_cache(maxsize=2)
def _manifest(
    file: Path,
    base: Path,
    columns: Columns,
    division: subset.Division,
    rules: _Rules,
    state: object,
) -> Source:
    """The table, which is not read again as long as the file is in the same `state`."""
    columns, rows = read(file, columns, rules.encoding)
    rows, missing = _without_missing(rows, rules.on_missing, file)
    rows = _without_detours(rows, base, file)
    found, repeated = _files(rows, base, file)
    skipped: tuple[Skipped, ...] = ()
    if rules.on_error == "skip":
        found, skipped = _readable(found, file)
    else:
        _refuse_absent(found, base, file)
    if not rules.follow_links:
        _refuse_links_out(found, base.resolve())
    rows, merged = _merged([*found.values()], rules.merge_labels, file)
    indices, origin = _given_splits(rows, columns, file)
    if columns.group and not any(row.group for row in rows):
        nothing = "is empty in every row, so no images are kept together"
        _log.warning("%s: the group column '%s' %s", file, columns.group, nothing)
    classes = _classes(rows, indices["train"], file)
    labels = _indices(rows, classes, file)
    lost = [name for name in ("val", "test") if name not in indices]
    if lost or division.fold is not None:
        train = indices["train"]
        groups = _groups([rows[i].group for i in train])
        parts = division.parts(labels[train], classes, lost, groups)
        indices |= {name: train[part] for name, part in parts.items()}
        sizes = {name: len(parts[name]) for name in lost}
        origin = joined(origin, division.words(sizes, grouped=groups is not None))
    _log.info("%s: %s", file, origin)
    _refuse_shared_groups(rows, indices, file)
    everything = Split(tuple(found), labels, tuple(row.path for row in rows))
    own = {name: everything.take(part) for name, part in indices.items()}
    return Source(
        file.stem,
        classes,
        own["train"],
        own["val"],
        own["test"],
        skipped=skipped,
        origin=origin,
        merged=merged,
        remarks=said(_log, file, *missing, *repeated, *merged_in_words(merged)),
    )


def _without_missing(
    rows: list[Row], on_missing: OnMissing, file: Path
) -> tuple[list[Row], list[str]]:
    """The rows that have a path, a label and, if any has one, a split; and how many have not.

    Raises RegraftError for one that has not, unless they are to be left out.
    """
    split = ["split"] if on_missing == "skip" and any(row.split for row in rows) else []
    words = []
    for key in ("path", "label", *split):
        lost = [row for row in rows if not getattr(row, key)]
        if lost and on_missing == "error":
            first = f"{file}, row {lost[0].number}: the {key} is empty"
            raise RegraftError(
                f"{first}, as in {len(lost):,} of {len(rows):,} rows; fill them in, delete them or "
                "leave them out with data.on_missing=skip"
            )
        if lost:
            numbers = some([f"{row.number}" for row in lost])
            words.append(f"{len(lost):,} of {len(rows):,} rows have no {key}: {numbers}; left out")
            rows = [row for row in rows if getattr(row, key)]
    if not rows:
        raise RegraftError(f"{file}: {words[-1]}, so nothing is left")
    return rows, words


def _merged(
    rows: list[Row], merge: MergeLabels, file: Path
) -> tuple[list[Row], dict[str, tuple[str, ...]]]:
    """The rows with the class that each label stands for, and which labels were merged."""
    classes = settled(Counter(row.label for row in rows), merge, f"{file}, labels")
    return [replace(row, label=classes[row.label]) for row in rows], merged_labels(classes)


def _classes(rows: list[Row], train: np.ndarray, file: Path) -> tuple[str, ...]:
    """What is trained, in natural order."""
    classes = tuple(sorted({rows[i].label for i in train}, key=natural))
    if len(classes) < 2:
        raise RegraftError(f"{file} trains one class only, '{classes[0]}'; give at least two")
    return classes


def _indices(rows: list[Row], classes: tuple[str, ...], file: Path) -> np.ndarray:
    """The class of each row, int64 (N,); RegraftError for one that is not trained."""
    index = {name: number for number, name in enumerate(classes)}
    for row in rows:
        if row.label not in index:
            hint = did_you_mean(row.label, classes) or "; add it to train or delete the row"
            raise RegraftError(
                f"{file}, row {row.number}: no training image has the label '{row.label}'{hint}"
            )
    return np.array([index[row.label] for row in rows], dtype=np.int64)


def _groups(names: list[str | None]) -> np.ndarray | None:
    """Each image's group, of its own where it has none; None if no image has one."""
    if not any(names):
        return None
    return np.array([name or f"\0{number}" for number, name in enumerate(names)])


def _without_detours(rows: list[Row], base: Path, file: Path) -> list[Row]:
    """The rows with paths from `base` on; RegraftError for one that leads out of it."""
    straight = []
    for row in rows:
        row = replace(row, path=as_posix(base, row.path))
        if ".." in Path(row.path).parts or Path(row.path).is_absolute():
            path = os.path.relpath(base / row.path, base)
            highest = Path(*Path(row.path).parts[:2])  # on another machine, if it is not here
            lost = highest.is_absolute() and not highest.exists()
            if Path(path).parts[:1] == ("..",) and not lost:
                above = os.path.commonpath([(base / r.path).parent.resolve() for r in rows])
                raise RegraftError(
                    f"{file}, row {row.number}: '{row.path}' leads out of {base}; write all paths "
                    f"without '..', from {above} on, and set data.root={above}"
                )
            row = row if lost else replace(row, path=path)
        straight.append(row)
    return straight


def _files(rows: list[Row], base: Path, file: Path) -> tuple[dict[Path, Row], list[str]]:
    """The image of each row, and how many rows were there before.

    Raises RegraftError for an image that two rows say different things of.
    """
    found: dict[Path, Row] = {}
    again = []
    for row in rows:
        path = spelt_as_on_disk(base, row.path)
        first = found.setdefault(path, row)
        if first is row:
            continue
        for key in ("label", "split", "group"):
            one, other = getattr(first, key), getattr(row, key)
            if one != other:
                raise RegraftError(
                    f"{file}, rows {first.number} and {row.number}: '{row.path}' is listed twice, "
                    f"with {key} '{one or ''}' and with '{other or ''}'; keep one"
                )
        again.append(f"{row.number}")
    counted = f"{len(again):,} of {len(rows):,} rows repeat one above: {some(again)}; left out"
    return found, [counted] if again else []


def _refuse_links_out(paths: Iterable[Path], home: Path) -> None:
    """Raises RegraftError for an image that a link puts into the folder from elsewhere."""
    paths = [*paths]
    for folder in dict.fromkeys(path.parent for path in paths):
        refuse_link_out(folder, home)
    for path in paths:
        if path.is_symlink():
            refuse_link_out(path, home)


def _readable(found: dict[Path, Row], file: Path) -> tuple[dict[Path, Row], tuple[Skipped, ...]]:
    """The images that can be read; RegraftError if a label is lost."""
    bad = unreadable([*found])
    kept = {path: row for path, row in found.items() if path not in bad}
    left = {row.label for row in kept.values()}
    for path, row in found.items():
        if row.label not in left:
            raise RegraftError(
                f"{file}: label '{row.label}' has no image that can be read, '{row.path}' for one "
                f"({bad[path]}); repair the files or delete the rows"
            )
    return kept, tuple(Skipped(found[path].path, bad[path]) for path in found if path in bad)


def _refuse_absent(found: dict[Path, Row], base: Path, file: Path) -> None:
    """Raises RegraftError for images that are not there."""
    absent = {path: row for path, row in found.items() if not is_file(path)}
    if absent:
        first, *others = absent.values()
        more = f", nor {'are' if len(others) > 1 else 'is'} {len(others):,} other"
        more += f"{'s' * (len(others) > 1)} ({some([repr(r.path) for r in others], 2)})"
        raise RegraftError(
            f"{file}, row {first.number}: '{first.path}' is not in {base}{more if others else ''}: "
            f"{len(absent):,} of {len(found):,} paths lead nowhere, taken relative to "
            f"{base.resolve()}; {_where_they_are(first, base)}correct the rows, set data.root to "
            "the folder that the paths begin in, or leave them out with data.on_error=skip"
        )


def _where_they_are(row: Row, base: Path) -> str:
    """A hint if the image lies where a person may have begun to count."""
    for begins, what in _OF_ELSEWHERE.items():
        if re.match(begins, row.path):
            return f"they are {what}; "
    for folder in (Path.cwd(), base.resolve().parent):
        if is_file(spelt_as_on_disk(folder, row.path)):
            return f"they may begin in another folder: data.root={folder}; or "
    return ""


def _given_splits(
    rows: list[Row], columns: Columns, file: Path
) -> tuple[dict[str, np.ndarray], str]:
    """The rows of each split that the table names, and which those are in words; all are train
    where it names none."""
    if not any(row.split for row in rows):
        return {"train": np.arange(len(rows))}, "it names no splits"
    meant = splits.assigned(dict.fromkeys(row.split or "" for row in rows))
    found: dict[str, list[int]] = {}
    for index, row in enumerate(rows):
        if (name := meant.get(row.split or "")) is None:
            way_out = "" if row.split else "; leave such rows out with data.on_missing=skip"
            raise RegraftError(
                f"{file}, row {row.number}: split '{row.split or ''}' is not train, val or test"
                f"{way_out}"
            )
        found.setdefault(name, []).append(index)
    if "train" not in found:
        raise RegraftError(f"{file} has no row of split train")
    words = {split: [word for word in meant if meant[word] == split] for split in found}
    named = splits.in_words({split: "' and '".join(own) for split, own in words.items()})
    indices = {name: np.array(found[name]) for name in splits.SPLITS if name in found}
    return indices, f"{named} as column '{columns.split}' says"


def _refuse_shared_groups(rows: list[Row], indices: dict[str, np.ndarray], file: Path) -> None:
    home: dict[str, str] = {}
    for name, members in indices.items():
        for row in (rows[i] for i in members):
            if row.group and home.setdefault(row.group, name) != name:
                raise RegraftError(
                    f"{file}, row {row.number}: group '{row.group}' is in {home[row.group]} and "
                    f"in {name}; a group stays in one split, or the test is no test"
                )
