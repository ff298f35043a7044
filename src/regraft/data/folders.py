"""Images of one's own: a folder of class folders, read as a source or refused in one line."""

import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from regraft.data import subset
from regraft.data.names import is_ours, natural, spelt
from regraft.data.readable import OnError, Skipped, unreadable
from regraft.data.sources import (
    SPLITS,
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
from regraft.data.transforms import EXTENSIONS
from regraft.errors import RegraftError, did_you_mean

_log = logging.getLogger(__name__)


def image_folder(
    seed: int,
    *,
    root: str,
    on_error: OnError,
    follow_links: bool,
    val_fraction: Fraction,
    test_fraction: Fraction,
    split_seed: Seed,
    fold: Fold,
    folds: Folds,
    per_class: PerClass,
    fraction: Share,
) -> Source:
    """A folder with one sub-folder of images per class, or with such folders in train, val, test.

    What is missing of val and test is split off train, by class. The training classes, in natural
    order, are the classes; val and test must not know others. With `on_error` "skip", files that
    cannot be read are left out before anything is split off. Raises RegraftError for a folder that
    is not one of these, naming the folder or the class, for a class without readable images, and
    unless `follow_links` for a link that leads out of the folder.
    """
    base = _existing(root)
    division = subset.Division(
        val_fraction=val_fraction,
        test_fraction=test_fraction,
        split_seed=split_seed,
        fold=fold,
        folds=folds,
    )
    state = _state(base, None if follow_links else base.resolve())
    whole = _image_folder(base, division, on_error, state)
    return whole.few(seed, per_class=per_class, fraction=fraction)


@lru_cache(maxsize=2)
def _image_folder(
    base: Path, division: subset.Division, on_error: OnError, state: object
) -> Source:
    """The folder, which is not scanned again as long as it is in the same `state`."""
    found = {name: _scan(folder) for name, folder in _split_folders(base).items()}
    classes = _classes(found["train"])
    skipped: tuple[Skipped, ...] = ()
    if on_error == "skip":
        found, skipped = _readable(found, base)
    for name in found.keys() - {"train"}:
        _check_classes(found[name], classes, split=name)
    splits = {name: _files(layout, classes, base) for name, layout in found.items()}
    splits = divided(splits, classes, division, str(base))
    return Source(base.resolve().name, classes, skipped=skipped, **splits)


def _state(base: Path, home: Path | None) -> tuple[tuple[Path, int], ...]:
    """What differs once a file or a folder is added anywhere below, or taken away.

    Raises RegraftError for a link that leads out of `home`.
    """
    return tuple((path, path.stat().st_mtime_ns) for path in _folders(base, set(), home))


def _folders(folder: Path, seen: set[tuple[int, int]], home: Path | None) -> Iterator[Path]:
    """The folder and all below it; each real folder is entered once."""
    if (identity := _identity(folder)) in seen:
        return
    seen.add(identity)
    yield folder
    for path in _subfolders(folder, home):
        yield from _folders(path, seen, home)


@dataclass(frozen=True)
class PassedOver:
    """What lies in a folder of images and is not read, by its path in there."""

    folders: tuple[str, ...]  # hidden, left by a program, or beside train, val and test
    loose: tuple[str, ...]  # images beside the class folders


def passed_over(root: str) -> PassedOver:
    """What `image_folder` leaves out of this folder without a word, or with a warning."""
    base = _existing(root)
    splits = _split_folders(base).values()
    beside = [] if base in splits else [p for p in _entries(base) if p.is_dir() and p not in splits]
    folders, loose = [path.name for path in beside], list[str]()
    for at, inside, files in os.walk(base):
        here = Path(at)
        ours = [name for name in inside if is_ours(name)]
        folders += [f"{here / name}" for name in inside if name not in ours]
        inside[:] = [name for name in ours if here / name not in beside]
        if here in splits:
            images = (name for name in files if Path(name).suffix.lower() in EXTENSIONS)
            loose += [f"{here / name}" for name in images if is_ours(name)]
    return PassedOver(_sorted(folders, base), _sorted(loose, base))


def _sorted(paths: list[str], base: Path) -> tuple[str, ...]:
    short = (path.removeprefix(f"{base}{os.sep}") for path in paths)
    return tuple(sorted(short, key=natural))


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
    near = [p.name for p in _subfolders(lost.parent)] if lost.parent.is_dir() else []
    hint = did_you_mean(lost.name, near) or "; give the folder of class folders"
    raise RegraftError(f"data.root={root}: there is no folder '{lost}'{hint}")


def _split_folders(base: Path) -> dict[str, Path]:
    """The folder of each split that is there; a folder without splits is all train."""
    inside = _subfolders(base)
    found: dict[str, Path] = {}
    for path in inside:
        if (split := SPLITS.get(path.name.lower())) in found:
            raise RegraftError(f"{base} has both '{found[split].name}' and '{path.name}'; keep one")
        if split:
            found[split] = path
    others = [path.name for path in inside if path not in found.values()]
    if "train" not in found and found:
        odd = next(iter(found.values())).name
        way_out = f"move the class folders into '{base / 'train'}'" if others else "add 'train'"
        raise RegraftError(f"{base} has a folder '{odd}' but no 'train'; {way_out}")
    is_class = others and not _subfolders(found.get("train", base))
    if not found or is_class:
        return {"train": base}
    if others:
        _log.warning("%s: ignored beside train: %s", base, ", ".join(others))
    return found


def _readable(
    found: dict[str, _Layout], base: Path
) -> tuple[dict[str, _Layout], tuple[Skipped, ...]]:
    """The same without the files that cannot be read; RegraftError if a class to train is lost."""
    bad = unreadable(
        [path for layout in found.values() for files in layout.images.values() for path in files]
    )
    kept = {
        split: replace(
            layout,
            images={
                name: [path for path in files if path not in bad]
                for name, files in layout.images.items()
            },
        )
        for split, layout in found.items()
    }
    for name, files in kept["train"].images.items():
        if not files and (lost := found["train"].images[name]):
            raise RegraftError(
                f"class '{name}' in {kept['train'].folder} has no image that can be read, "
                f"'{lost[0].name}' for one ({bad[lost[0]]}); repair the files or delete the folder"
            )
    skipped = (Skipped(path.relative_to(base).as_posix(), why) for path, why in bad.items())
    return kept, tuple(skipped)


def _scan(folder: Path) -> _Layout:
    inside = _entries(folder)
    # Links that lead back up are not followed: they would bring in other classes, or never end.
    above = {_identity(path) for path in (folder.resolve(), *folder.resolve().parents)}
    images: dict[str, list[Path]] = {}
    loose = 0
    for path, is_folder in inside.items():
        if is_folder:
            images.setdefault(spelt(path.name), []).extend(_images(path, set(above)))
        elif path.is_symlink() and not path.exists():
            _log.warning("%s leads nowhere and is ignored", path)
        elif path.suffix.lower() in EXTENSIONS:
            loose += 1
    return _Layout(folder, dict(sorted(images.items(), key=lambda item: natural(item[0]))), loose)


def _images(folder: Path, seen: set[tuple[int, int]]) -> list[Path]:
    """The image files under a folder, in natural order; each real folder is entered once."""
    if (identity := _identity(folder)) in seen:
        return []
    seen.add(identity)
    images = []
    for path, is_folder in _entries(folder).items():
        if is_folder:
            images += _images(path, seen)
        elif path.suffix.lower() in EXTENSIONS:
            images.append(path)
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
        path = _subfolders(folder)[0]
        hint = f", or set data.root={path}" if _subfolders(path) else ""
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
    # A name that is no UTF-8, as old archives have them, must not end a job that writes it down.
    above = len(base.parts)  # five times as fast as relative_to
    posix = ("/".join(path.parts[above:]) for path in paths)
    names = tuple(name.encode(errors="backslashreplace").decode() for name in posix)
    return Split(paths, labels, names)


def _subfolders(folder: Path, home: Path | None = None) -> list[Path]:
    """The folders in it, in natural order; most folders have many files and no folder."""
    folders = [path for path, is_folder in _listed(folder, home) if is_folder]
    return sorted(folders, key=lambda path: natural(path.name))


def _entries(folder: Path) -> dict[Path, bool]:
    """What a person sees in a folder, in natural order, and whether it is a folder itself."""
    return dict(sorted(_listed(folder), key=lambda item: natural(item[0].name)))


def _listed(folder: Path, home: Path | None = None) -> list[tuple[Path, bool]]:
    """The same in no order. Only links need a look at the disk; to nowhere they are no folders.

    Raises RegraftError for one that leads to a folder or to an image outside of `home`.
    """
    try:
        with os.scandir(folder) as entries:
            ours = [entry for entry in entries if is_ours(entry.name)]
            links = {entry.name for entry in ours if entry.is_symlink()}
            found = [
                (path, path.is_dir() if entry.name in links else entry.is_dir())
                for entry in ours
                if (path := folder / entry.name)
            ]
        if home is not None:
            for path, is_folder in found if links else ():
                if path.name in links and (is_folder or path.suffix.lower() in EXTENSIONS):
                    refuse_link_out(path, home)
        return found
    except OSError as error:
        raise RegraftError(f"{folder} cannot be read: {error.strerror}") from error


def refuse_link_out(path: Path, home: Path) -> None:
    """Raises RegraftError for a path that is, or is behind, a link that leads out of a folder."""
    try:
        real = path.resolve(strict=True)
    except (OSError, RuntimeError):  # to nowhere, or to itself: nothing will be read
        return
    if not real.is_relative_to(home):
        raise RegraftError(
            f"{path} is a link that leads out of {home}, to {real}; remove it, or set "
            "data.follow_links=true if it is meant"
        )


def _identity(folder: Path) -> tuple[int, int]:
    stat = folder.stat()
    return stat.st_dev, stat.st_ino
