"""Images of one's own: a folder of class folders, read as a source or refused in one line."""

import logging
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import chain, combinations
from pathlib import Path

import numpy as np

from regraft.data import formats, levels, splits, subset
from regraft.data.formats import is_image
from regraft.data.labels import MergeLabels, merged, merged_in_words, settled
from regraft.data.names import is_ours, natural, spelt
from regraft.data.others import Others, examined
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
    divided,
    said,
)
from regraft.data.white import Rule
from regraft.errors import RegraftError, did_you_mean

_log = logging.getLogger(__name__)


def image_folder(
    seed: int,
    *,
    root: str,
    on_error: OnError,
    follow_links: bool,
    merge_labels: MergeLabels = None,
    nested: bool = False,
    white: Rule = "auto",
    val_fraction: Fraction,
    test_fraction: Fraction,
    judge_by: subset.JudgeBy = "test",
    split_seed: Seed,
    fold: Fold,
    folds: Folds,
    per_class: PerClass,
    fraction: Share,
) -> Source:
    """A folder with one sub-folder of images per class, or with such folders in train, val, test.

    What is missing of val and test is split off train, by class. The training classes, in natural
    order, are the classes; val and test must not know others. With `on_error` "skip", files that
    cannot be read are left out before anything is split off. Class folders whose names look alike
    are one class if `merge_labels`, several if it is False. Folders in class folders are part of
    the class; where they look like classes or splits, only if that is `nested`.

    Raises RegraftError for a folder that is not one of these, naming the folder or the class, for
    a class without readable images, and unless `follow_links` for a link that leads out of it.
    """
    base = existing(root)
    division = subset.Division(
        val_fraction=val_fraction,
        test_fraction=test_fraction,
        judge_by=judge_by,
        split_seed=split_seed,
        fold=fold,
        folds=folds,
    )
    state = _state(base, None if follow_links else base.resolve())
    whole = _image_folder(base, division, on_error, merge_labels, nested, state)
    whole = whole.scaled(white)
    return whole.few(seed, per_class=per_class, fraction=fraction)


@lru_cache(maxsize=2)
def _image_folder(
    base: Path,
    division: subset.Division,
    on_error: OnError,
    merge_labels: MergeLabels,
    nested: bool,
    state: object,
) -> Source:
    """The folder, which is not scanned again as long as it is in the same `state`."""
    folders = _split_folders(base)
    found = {name: _scan(folder) for name, folder in folders.items()}
    deeper = [] if nested else levels.examined(found["train"].folder, found["train"].images)
    found, others = _merged(found, merge_labels, base)
    classes = _classes(found["train"])
    skipped: tuple[Skipped, ...] = ()
    if on_error == "skip":
        found, skipped = _readable(found, base)
    left = _left_out(found, classes, base)
    for name in found.keys() - {"train"}:
        _check_classes(found[name], classes, split=name)
    files = {name: _files(layout, classes, base) for name, layout in found.items()}
    named = {name: shown(path, base) for name, path in folders.items() if path != base}
    origin = splits.in_words(named)
    source = divided((base.resolve().name, classes), files, division, where=base, named=origin)
    return replace(
        source,
        skipped=skipped + left.skipped,
        left_out=left.lines,
        litter=left.litter,
        merged=others,
        remarks=said(_log, base, *deeper, *merged_in_words(others)),
    )


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
    base = existing(root)
    read = _split_folders(base).values()
    outer = {base / path.relative_to(base).parts[0] for path in read if path != base}
    beside = [p for p in _entries(base) if outer and p.is_dir() and p not in outer]
    folders, loose = [path.name for path in beside], list[str]()
    for at, inside, files in os.walk(base):
        here = Path(at)
        ours = [name for name in inside if is_ours(name)]
        folders += [f"{here / name}" for name in inside if name not in ours]
        inside[:] = [name for name in ours if here / name not in beside]
        if here in read:
            images = (name for name in files if is_ours(name) and is_image(here / name))
            loose += [f"{here / name}" for name in images]
    return PassedOver(_sorted(folders, base), _sorted(loose, base))


def _sorted(paths: list[str], base: Path) -> tuple[str, ...]:
    short = (path.removeprefix(f"{base}{os.sep}") for path in paths)
    return tuple(sorted(short, key=natural))


@dataclass(frozen=True)
class _Layout:
    """What lies in a folder of class folders."""

    folder: Path
    images: dict[str, list[Path]]  # by class folder, empty ones included
    others: dict[str, list[Path]]  # the files of these folders that are no images
    loose: int  # images beside the class folders
    beside: list[Path]  # other files there

    @property
    def instead(self) -> str:
        """What there is where no image is, for an error."""
        kinds = formats.counted([*self.beside, *chain.from_iterable(self.others.values())])
        return f", but {kinds}" if kinds else ""


def existing(root: str) -> Path:
    """The folder of class folders; raises RegraftError if there is none."""
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
    """The folder of each split that is there; a folder without splits is all train.

    Raises RegraftError where the names leave a question.
    """
    inside = {path.name: path for path in _subfolders(base)}
    named = splits.by_split(inside) or _of_one_stem(inside)
    others = [name for name in inside if name not in chain.from_iterable(named.values())]
    if not named or _are_classes(named, others, inside):
        _refuse_alike([*inside], inside, base)
        return {"train": base}
    for split, names in named.items():
        if len(names) > 1:
            both = " and ".join(f"'{name}'" for name in names)
            raise RegraftError(f"{base} has both {both}, which mean {split}; keep one")
    found = {split: inside[name] for split, [name] in named.items()}
    if "train" not in found:
        odd = next(iter(found.values())).name
        way_out = f"move the class folders into '{base / 'train'}'" if others else "add 'train'"
        held = _class_names(inside, [odd])
        if near := [name for name in others if held & _class_names(inside, [name])]:
            way_out = f"if '{near[0]}' is that, call it 'train'"
        raise RegraftError(f"{base} has a folder '{odd}' but no 'train'; {way_out}")
    if others:
        _refuse_alike([found["train"].name, *_missing(others, found)], inside, base)
        _log.warning("%s: ignored beside train: %s", base, ", ".join(others))
    return {split: _innermost(path, split) for split, path in found.items()}


def _of_one_stem(inside: dict[str, Path]) -> dict[str, list[str]]:
    """The names of each split where they have something more in common: `pets_train`, `pets_test`.

    There are none unless they hold class folders.
    """
    found = {name: named for name in inside if (named := splits.named(name)) is not None}
    for stem in dict.fromkeys(named.rest for named in found.values()):
        own = [name for name, named in found.items() if named.rest == stem]
        given = {found[name].split: [name] for name in own}
        if len(given) == len(own) > 1 and "train" in given and _class_names(inside, own):
            return given
    return {}


def _are_classes(named: dict[str, list[str]], others: list[str], inside: dict[str, Path]) -> bool:
    """Whether folders that are called like splits are classes like the others beside them."""
    held = _class_names(inside, chain.from_iterable(named.values()))
    if not others:  # numbered, say: "test 1", "test 2"
        apart = len(held) == sum(len(_class_names(inside, [name])) for name in inside)
        return len(named) == 1 < len(inside) and apart
    return not held & (held if "train" in named else {*others} | _class_names(inside, others))


def _missing(names: list[str], found: Iterable[str]) -> list[str]:
    """Those that look like a split that was not found."""
    looks = ((name, splits.named(name)) for name in names)
    return [name for name, named in looks if named and named.split not in found]


def _refuse_alike(names: list[str], inside: dict[str, Path], base: Path) -> None:
    """Raises RegraftError for two folders that look like splits of the same classes, or like
    halves of one class."""
    looks = {name: named for name in names if (named := splits.named(name)) is not None}
    for (one, first), (other, second) in combinations(looks.items(), 2):
        meant = dict.fromkeys((first.split, second.split))
        halves = len(meant) > 1 and "train" in meant and first.rest == second.rest != ()
        if halves or _class_names(inside, [one]) & _class_names(inside, [other]):
            folders = " and ".join(f"'{split}'" for split in meant)
            way_out = f"call the folders {folders}, with a folder per class in each"
            if len(meant) == 1:
                way_out = f"bring their class folders together in one folder {folders}"
            raise RegraftError(
                f"{base}: '{one}' and '{other}' look like splits; if they are, {way_out}; if they "
                "are classes, give them other names"
            )


def _class_names(inside: dict[str, Path], names: Iterable[str]) -> set[str]:
    """What the folders in the folders of these names are called."""
    return {path.name for name in names for path in _subfolders(inside[name])}


def _innermost(folder: Path, split: str) -> Path:
    """The folder of class folders: archives often hold `train/train`, or `train/images`."""
    while len(inside := _entries(folder)) == 1:
        [(only, is_folder)] = inside.items()
        means = splits.named(only.name)
        if not is_folder or not (splits.is_filler(only.name) or (means and split in means.splits)):
            break
        folder = only
    return folder


def shown(path: Path, base: Path) -> str:
    """A path as text, from a folder on."""
    return spelt(path.relative_to(base).as_posix())


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


def _merged(
    found: dict[str, _Layout], merge: MergeLabels, base: Path
) -> tuple[dict[str, _Layout], dict[str, tuple[str, ...]]]:
    """The same with the class that each folder stands for, and which names were merged."""
    counts = Counter[str]()
    for layout in found.values():
        counts.update({name: len(files) for name, files in layout.images.items()})
    classes = settled(counts, merge, f"{base}, class folders")
    return {split: _renamed(layout, classes) for split, layout in found.items()}, merged(classes)


def _renamed(layout: _Layout, classes: dict[str, str]) -> _Layout:
    images, others = (_joined(files, classes) for files in (layout.images, layout.others))
    return replace(layout, images=images, others=others)


def _joined(files: dict[str, list[Path]], classes: dict[str, str]) -> dict[str, list[Path]]:
    """The files of each class, in natural order, of those of each class folder."""
    found: dict[str, list[Path]] = {}
    for name, paths in files.items():
        found.setdefault(classes[name], []).extend(paths)
    return dict(sorted(found.items(), key=lambda item: natural(item[0])))


def _scan(folder: Path) -> _Layout:
    inside = _entries(folder)
    # Links that lead back up are not followed: they would bring in other classes, or never end.
    above = {_identity(path) for path in (folder.resolve(), *folder.resolve().parents)}
    images: dict[str, list[Path]] = {}
    others: dict[str, list[Path]] = {}
    loose, beside = 0, list[Path]()
    for path, is_folder in inside.items():
        if is_folder:
            name, found = spelt(path.name), _files_below(path, set(above))
            images.setdefault(name, []).extend(file for file, reads in found if reads)
            others.setdefault(name, []).extend(file for file, reads in found if not reads)
        elif path.is_symlink() and not path.exists():
            _log.warning("%s leads nowhere and is ignored", path)
        elif is_image(path):
            loose += 1
        else:
            beside.append(path)
    ordered = dict(sorted(images.items(), key=lambda item: natural(item[0])))
    return _Layout(folder, ordered, others, loose, beside)


def _files_below(folder: Path, seen: set[tuple[int, int]]) -> list[tuple[Path, bool]]:
    """The files under a folder in natural order, and which are images; what programs leave in it
    comes last. Each real folder is entered once."""
    if (identity := _identity(folder)) in seen:
        return []
    seen.add(identity)
    found: list[tuple[Path, bool]] = []
    for path, is_folder in _entries(folder).items():
        found += _files_below(path, seen) if is_folder else [(path, is_image(path))]
    with os.scandir(folder) as entries:
        left = [e.name for e in entries if not is_ours(e.name) or _is_special(e)]
    return found + [(folder / name, False) for name in left]


def _left_out(found: dict[str, _Layout], classes: tuple[str, ...], base: Path) -> Others:
    """The files of each class that are no images, of all splits together."""
    layouts = found.values()
    files = {c: [p for layout in layouts for p in layout.others.get(c, ())] for c in classes}
    images = {c: sum(len(layout.images.get(c, ())) for layout in layouts) for c in classes}
    made = examined(files, images, base)
    loose = [path for layout in layouts for path in layout.beside if formats.wants_library(path)]
    line = f"left out beside the class folders: {formats.counted(loose)}"
    return replace(made, lines=(*made.lines, line)) if loose else made


def _classes(train: _Layout) -> tuple[str, ...]:
    """The class folders by name, or RegraftError saying why they are none to train on."""
    folder, images = train.folder, train.images
    if not any(images.values()):
        if train.loose:
            raise RegraftError(
                f"{folder} holds {train.loose} images but no class folders with images; "
                "put the images of each class into a folder of its own"
            )
        raise RegraftError(
            f"{folder} holds no images{train.instead}; give the folder of class folders"
        )
    if empty := [name for name, files in images.items() if not files]:
        kinds = formats.counted(train.others[empty[0]])
        instead = f", but {kinds}" if kinds else ""
        raise RegraftError(
            f"class folder '{empty[0]}' in {folder} holds no images{instead}; add some or delete it"
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
    if not present and layout.loose:
        raise RegraftError(
            f"{layout.folder} holds {layout.loose:,} images but no class folders, so nothing tells "
            "what they show; put the images of each class into a folder of its own, or move them "
            "away: `regraft predict` takes them"
        )
    if not present:
        raise RegraftError(
            f"{layout.folder} holds no class folders with images{layout.instead}; fill or delete it"
        )
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
            ours = [entry for entry in entries if is_ours(entry.name) and not _is_special(entry)]
            links = {entry.name for entry in ours if entry.is_symlink()}
            found = [
                (path, path.is_dir() if entry.name in links else entry.is_dir())
                for entry in ours
                if (path := folder / entry.name)
            ]
        if home is not None:
            for path, is_folder in found if links else ():
                if path.name in links and (is_folder or is_image(path)):
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


def _is_special(entry: os.DirEntry) -> bool:
    """Whether it is neither a file nor a folder; only links need a look at the disk."""
    if entry.is_symlink():
        return formats.is_special(Path(entry))
    return not (entry.is_file() or entry.is_dir())


def _identity(folder: Path) -> tuple[int, int]:
    stat = folder.stat()
    return stat.st_dev, stat.st_ino
