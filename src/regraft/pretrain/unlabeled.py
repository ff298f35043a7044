"""Images to learn from without their labels: never one to validate or test on."""

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np

from regraft.data.formats import counted, is_image, is_litter
from regraft.data.names import is_ours
from regraft.data.readable import unreadable
from regraft.data.sources import Source, Split
from regraft.data.white import USUAL, Whites
from regraft.errors import RegraftError
from regraft.fingerprint import digests

_log = logging.getLogger(__name__)


def only(split: Split, name: str, white: Whites = USUAL) -> Source:
    """A source with the images of a split to train on, all of one class, and no others."""
    blind = replace(split, labels=np.zeros(len(split), dtype=np.int64))
    nothing = blind.take(np.arange(0))
    return Source(name, ("unlabeled",), blind, nothing, nothing, white=white)


def folder(path: Path, data: Source) -> Source:
    """All images at any depth of a folder, but those that the data validates or tests on.

    They are read as the data is. What cannot be read is left out, too, and both is said in the
    log; so is where the data has no files to compare with. Raises RegraftError where fewer than two
    images are left.
    """
    where = f"pretrain.unlabeled={path}"
    path = path.expanduser()
    if not path.is_dir():
        raise RegraftError(f"{where}: no such folder; give one with images, at any depth")
    ours = [file for file in sorted(path.rglob("*")) if file.is_file() and _is_ours(file, path)]
    files = [file for file in ours if is_image(file)]
    others = [file for file in set(ours) - set(files) if not is_litter(file.name)]
    bad = unreadable(files)
    readable = [file for file in files if file not in bad]
    if any(isinstance(split.images, np.ndarray) and len(split) for split in (data.val, data.test)):
        _log.warning(
            "%s: %s is no files, so that validation and test images of it cannot be found among "
            "these: give a folder without them",
            where,
            data.name,
        )
    held_out = _held_out(data)
    own = [held_out.isdisjoint([digest]) for digest in digests(readable)] if held_out else None
    kept = [f for f, keep in zip(readable, own, strict=True) if keep] if own else readable
    _say(where, len(others), f"files are no images ({counted(others)})")
    _say(where, len(bad), "images cannot be read")
    _say(where, len(readable) - len(kept), "images are validation or test images of the data")
    if len(kept) < 2:
        instead = f", and none of {kinds}" if (kinds := counted(others)) else ""
        raise RegraftError(
            f"{where}: {len(kept)} of its {len(files)} image files can be learned from{instead}; "
            "give a folder with images, at any depth"
        )
    names = tuple(str(file.relative_to(path)) for file in kept)
    split = Split(tuple(kept), np.zeros(len(kept), dtype=np.int64), names)
    return only(split, path.name, data.white)


def _is_ours(file: Path, home: Path) -> bool:
    """Whether it is a person's: a program's thumbnail may be one of a test image."""
    return all(map(is_ours, file.relative_to(home).parts))


def _held_out(data: Source) -> set[bytes]:
    """The digests of the files that are to judge."""
    splits = (split.images for split in (data.val, data.test))
    return {d for images in splits if not isinstance(images, np.ndarray) for d in digests(images)}


def _say(where: str, count: int, what: str) -> None:
    if count:
        _log.warning("%s: %d %s and are left out", where, count, what)
