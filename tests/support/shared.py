"""Folders that all workers of a test run share: each is made once, and nobody may change it.

They lie where REGRAFT_TEST_RUNS says. Set by hand, that folder is kept for the next test run, and
what is in it is found again until a line of the source or a library changes.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from functools import cache
from importlib import metadata
from pathlib import Path

from filelock import FileLock

REPOSITORY = Path(__file__).parents[2]
PLACE = "REGRAFT_TEST_RUNS"
SOURCES = (REPOSITORY / "src", REPOSITORY / "conf", Path(__file__).parent)
LIBRARIES = ("torch", "torchvision", "timm", "pytorch-lightning", "hydra-core", "numpy", "wandb")
READ_ONLY = "files.json"  # of a folder that is complete: what is in it

_given: set[Path] = set()  # to this process, to be looked at once more at the end


def root() -> Path:
    """Where this test run keeps what its tests share."""
    return Path(os.environ[PLACE])


@cache
def source_digest() -> str:
    """A digest of all that a trained run depends on: code, settings, tests' helpers, libraries."""
    digest = hashlib.sha256(json.dumps([metadata.version(name) for name in LIBRARIES]).encode())
    for path in sorted(p for folder in SOURCES for p in folder.rglob("*") if p.is_file()):
        if "__pycache__" not in path.parts:
            digest.update(path.relative_to(REPOSITORY).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()


def once(name: str, words: tuple[str, ...], make: Callable[[Path], object]) -> Path:
    """The folder that `make` fills, of this name and these words; made by whoever asks first.

    Others wait meanwhile. A folder whose maker was killed is made anew.
    """
    key = hashlib.sha256(json.dumps([source_digest(), *words]).encode()).hexdigest()[:16]
    folder = root() / f"{name}-{key}"
    if folder in _given:
        return folder
    root().mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):
        if not (folder / READ_ONLY).exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            make(folder)
            part = folder / f"{READ_ONLY}.part"
            part.write_text(json.dumps(dict(_files(folder))))
            part.rename(folder / READ_ONLY)
    _given.add(folder)
    return folder


def _files(folder: Path) -> Iterator[tuple[str, list[int]]]:
    """Size and time of each file; locks are taken by whoever reads."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name != ".lock" and not path.name.startswith(READ_ONLY):
            about = path.stat()
            yield path.relative_to(folder).as_posix(), [about.st_size, about.st_mtime_ns]


def changed() -> list[str]:
    """What tests of this process, or others meanwhile, have changed in shared folders.

    Such a folder is made anew next time.
    """
    found = []
    for folder in sorted(_given):
        list_of_files = folder / READ_ONLY
        if not list_of_files.exists():  # another worker has found it out
            continue
        before, now = json.loads(list_of_files.read_text()), dict(_files(folder))
        names = sorted(name for name in {*before, *now} if before.get(name) != now.get(name))
        if names:
            list_of_files.unlink()
        found += [str(folder / name) for name in names]
    return found
