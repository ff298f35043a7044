"""Images of one's own, listed in a table: a row per image with its label, split and group."""

import logging
import os
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from regraft.data import splits, subset
from regraft.data.folders import refuse_link_out
from regraft.data.names import natural
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
)
from regraft.data.table import Columns, Row, read, spelt_as_on_disk
from regraft.errors import RegraftError, did_you_mean

_log = logging.getLogger(__name__)


def manifest(
    seed: int,
    *,
    path: str,
    root: str | None,
    on_error: OnError,
    follow_links: bool,
    path_column: str,
    label_column: str,
    split_column: str | None,
    group_column: str | None,
    val_fraction: Fraction,
    test_fraction: Fraction,
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
    that cannot be read are left out first. Raises RegraftError, naming the row or the column, for
    a table that is wrong.
    """
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
    columns = Columns(path_column, label_column, split_column, group_column)
    stat = file.stat()
    state = (stat.st_ino, stat.st_size, stat.st_mtime_ns)
    division = subset.Division(
        val_fraction=val_fraction,
        test_fraction=test_fraction,
        split_seed=split_seed,
        fold=fold,
        folds=folds,
    )
    whole = _manifest(file, base, columns, division, on_error, follow_links, state)
    return whole.few(seed, per_class=per_class, fraction=fraction)


@lru_cache(maxsize=2)
def _manifest(
    file: Path,
    base: Path,
    columns: Columns,
    division: subset.Division,
    on_error: OnError,
    follow_links: bool,
    state: object,
) -> Source:
    """The table, which is not read again as long as the file is in the same `state`."""
    columns, rows = read(file, columns)
    rows = _without_detours(rows, base, file)
    paths = _files(rows, base, file)
    skipped: tuple[Skipped, ...] = ()
    if on_error == "skip":
        rows, paths, skipped = _readable(rows, paths, file)
    else:
        _refuse_absent(rows, paths, base, file)
    if not follow_links:
        _refuse_links_out(paths, base.resolve())
    indices, origin = _given_splits(rows, columns, file)
    if columns.group and not any(row.group for row in rows):
        nothing = "is empty in every row, so no images are kept together"
        _log.warning("%s: the group column '%s' %s", file, columns.group, nothing)
    classes = tuple(sorted({rows[i].label for i in indices["train"]}, key=natural))
    if len(classes) < 2:
        raise RegraftError(f"{file} trains one class only, '{classes[0]}'; give at least two")
    index = {name: number for number, name in enumerate(classes)}
    for row in rows:
        if row.label not in index:
            hint = did_you_mean(row.label, classes) or "; add it to train or delete the row"
            raise RegraftError(
                f"{file}, row {row.number}: no training image has the label '{row.label}'{hint}"
            )
    labels = np.array([index[row.label] for row in rows], dtype=np.int64)
    missing = [name for name in ("val", "test") if name not in indices]
    if missing or division.fold is not None:
        train = indices["train"]
        groups = _groups([rows[i].group for i in train])
        parts = division.parts(labels[train], classes, missing, groups)
        indices |= {name: train[part] for name, part in parts.items()}
        sizes = {name: len(parts[name]) for name in missing}
        origin = joined(origin, division.words(sizes, grouped=groups is not None))
    _log.info("%s: %s", file, origin)
    _refuse_shared_groups(rows, indices, file)
    everything = Split(paths, labels, tuple(row.path for row in rows))
    found = {name: everything.take(part) for name, part in indices.items()}
    three = found["train"], found["val"], found["test"]
    return Source(file.stem, classes, *three, skipped=skipped, origin=origin)


def _groups(names: list[str | None]) -> np.ndarray | None:
    """Each image's group, of its own where it has none; None if no image has one."""
    if not any(names):
        return None
    return np.array([name or f"\0{number}" for number, name in enumerate(names)])


def _without_detours(rows: list[Row], base: Path, file: Path) -> list[Row]:
    """The rows with paths from `base` on; RegraftError for one that leads out of it."""
    straight = []
    for row in rows:
        if ".." in Path(row.path).parts or Path(row.path).is_absolute():
            path = os.path.relpath(base / row.path, base)
            if Path(path).parts[:1] == ("..",):
                above = os.path.commonpath([(base / r.path).parent.resolve() for r in rows])
                raise RegraftError(
                    f"{file}, row {row.number}: '{row.path}' leads out of {base}; write all paths "
                    f"without '..', from {above} on, and set data.root={above}"
                )
            row = replace(row, path=path)
        straight.append(row)
    return straight


def _files(rows: list[Row], base: Path, file: Path) -> tuple[Path, ...]:
    """The image of each row; RegraftError for one that is listed twice."""
    seen: dict[Path, int] = {}
    for row in rows:
        path = spelt_as_on_disk(base, row.path)
        if path in seen:
            twice = f"rows {seen[path]} and {row.number}"
            raise RegraftError(f"{file}, {twice}: '{row.path}' is listed twice; keep one")
        seen[path] = row.number
    return tuple(seen)


def _refuse_links_out(paths: tuple[Path, ...], home: Path) -> None:
    """Raises RegraftError for an image that a link puts into the folder from elsewhere."""
    for folder in dict.fromkeys(path.parent for path in paths):
        refuse_link_out(folder, home)
    for path in paths:
        if path.is_symlink():
            refuse_link_out(path, home)


def _readable(
    rows: list[Row], paths: tuple[Path, ...], file: Path
) -> tuple[list[Row], tuple[Path, ...], tuple[Skipped, ...]]:
    """The rows whose images can be read, and the images; RegraftError if a label is lost."""
    bad = unreadable(paths)
    both = list(zip(rows, paths, strict=True))
    kept = [(row, path) for row, path in both if path not in bad]
    left = {row.label for row, _ in kept}
    for row, path in both:
        if row.label not in left:
            raise RegraftError(
                f"{file}: label '{row.label}' has no image that can be read, '{row.path}' for one "
                f"({bad[path]}); repair the files or delete the rows"
            )
    skipped = tuple(Skipped(row.path, bad[path]) for row, path in both if path in bad)
    return [row for row, _ in kept], tuple(path for _, path in kept), skipped


def _refuse_absent(rows: list[Row], paths: tuple[Path, ...], base: Path, file: Path) -> None:
    """Raises RegraftError for images that are not there."""
    absent = [row for row, path in zip(rows, paths, strict=True) if not path.is_file()]
    if absent:
        others = len(absent) - 1
        more = f", nor {'are' if others > 1 else 'is'} {others} other" + "s" * (others > 1)
        more = more if others else ""
        raise RegraftError(
            f"{file}, row {absent[0].number}: '{absent[0].path}' is not in {base}{more}; "
            "correct the rows, set data.root to the folder that the paths begin in, or leave them "
            "out with data.on_error=skip"
        )


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
            known = "train, val or test"
            raise RegraftError(
                f"{file}, row {row.number}: split '{row.split or ''}' is not {known}"
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
