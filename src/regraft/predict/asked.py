"""Which images are asked about: files, folders, globs, tables and lists, in the order given."""

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from glob import glob, has_magic
from itertools import chain
from pathlib import Path
from typing import BinaryIO, NamedTuple

from regraft.data import table
from regraft.data.formats import is_image, is_litter, why_not_read
from regraft.data.names import is_ours, natural
from regraft.data.readable import LEFT_OUT
from regraft.errors import RegraftError, did_you_mean

STDIN = "-"
TABLES = (".csv", ".tsv", *table.PARQUET)


class Asked(NamedTuple):
    """An image that is asked about: its name in the answers, its file, and what is wrong if it is
    known already that it cannot be read."""

    name: str
    path: Path
    problem: str = ""


def images(arguments: Sequence[str], *, path_column: str) -> Iterator[Asked]:
    """Every image of every argument, as often as it is named, one at a time.

    Of an argument that is wrong it is known before the first image: RegraftError for one that is
    not there, and for a table that cannot be read to its end.
    """
    return chain.from_iterable([_of(argument, path_column) for argument in arguments])


def _of(argument: str, path_column: str) -> Iterable[Asked]:
    if argument == STDIN:
        return _listed(sys.stdin.buffer)
    path = Path(argument).expanduser()
    try:
        is_folder, is_file = path.is_dir(), path.is_file()
    except OSError as error:  # a name that is too long, say
        raise RegraftError(f"{text(argument[:80])} …: {error.strerror}") from error
    if is_folder:
        return _folder(path)
    if is_file and path.suffix.lower() in TABLES:
        for _ in table.paths(path, path_column):  # now, rather than an hour later
            pass
        return _table(path, path_column)
    if is_file or path.is_symlink() or path.exists():
        return [Asked(text(argument), path)]
    if has_magic(argument):
        # A person's order, which a shell's is not: 10 comes after 9.
        if found := sorted(glob(str(path), recursive=True), key=natural):  # noqa: PTH207, as typed
            return chain.from_iterable([_of(name, path_column) for name in found])
        raise RegraftError(f"{text(argument)}: no file is called like that")
    near = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
    raise RegraftError(
        f"{text(argument)}: no such image, folder or table{did_you_mean(path.name, near)}"
    )


def text(name: str) -> str:
    """A name that can be written down: old archives hold names that are no UTF-8."""
    return name.encode(errors="backslashreplace").decode()


def _folder(folder: Path) -> Iterator[Asked]:
    """The files in a folder and in those below it, in natural order, but texts and what programs
    leave: images, and with a problem what is none to us.

    Each real folder is entered once, so links may lead in a circle.
    """
    entered: set[tuple[int, int]] = set()
    # The next one last; folders may be deeper than Python's stack.
    waiting = [(folder, "", True)]
    while waiting:
        above, name, is_folder = waiting.pop()
        path = above / name
        if not is_folder:
            if is_image(path):
                yield Asked(text(str(path)), path)
            elif path.is_file():
                yield Asked(text(str(path)), path, f"{LEFT_OUT}{why_not_read(path)}")
            continue
        try:
            waiting += ((path, *entry) for entry in reversed(_inside(path, entered)))
        except OSError as error:
            yield Asked(text(str(path)), path, f"a folder that cannot be read: {error.strerror}")


def _inside(folder: Path, entered: set[tuple[int, int]]) -> list[tuple[str, bool]]:
    """Files and folders in a folder that was not `entered` before, and which are folders."""
    stat = folder.stat()
    if (stat.st_dev, stat.st_ino) in entered:
        return []
    entered.add((stat.st_dev, stat.st_ino))
    with os.scandir(folder) as entries:
        names = [(entry.name, _is_folder(entry)) for entry in entries if is_ours(entry.name)]
    found = [(n, is_folder) for n, is_folder in names if is_folder or not is_litter(n)]
    return sorted(found, key=lambda entry: natural(entry[0]))


def _is_folder(entry: os.DirEntry) -> bool:
    """Whether it is one, or a link to one; to itself or to nowhere it is none."""
    return Path(entry).is_dir() if entry.is_symlink() else entry.is_dir()


def _table(file: Path, path_column: str) -> Iterator[Asked]:
    """The images of a table's rows, from its folder on, named as it names them."""
    for name in table.paths(file, path_column):
        if not name:
            yield Asked("", file.parent, "the path is empty")
            continue
        yield Asked(text(name), table.spelt_as_on_disk(file.parent, name))


def _listed(stream: BinaryIO) -> Iterator[Asked]:
    """The paths in a list, one a line; with NUL between them, as of find -print0, if there is one
    in the first block."""
    rest = b""
    separator = b""
    # What is there already, so that a list may be read while it is being written.
    while block := stream.read1(2**16):  # type: ignore[attr-defined]
        separator = separator or (b"\0" if b"\0" in block else b"\n")
        *whole, rest = (rest + block).split(separator)
        yield from (_line(line) for line in whole if line.strip())
    if rest.strip():
        yield _line(rest)


def _line(line: bytes) -> Asked:
    name = os.fsdecode(line.removesuffix(b"\r"))
    return Asked(text(name), Path(name))
