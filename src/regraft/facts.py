"""What was found out about files, in this process and in earlier ones, as long as they stay."""

import logging
import os
import sqlite3
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import chain
from pathlib import Path
from typing import Generic, TypeVar

from regraft.errors import RegraftError
from regraft.paths import cache_folder

Fact = TypeVar("Fact")  # str or bytes
Identity = str
File = tuple[bytes, Identity]  # its path comes first

_TABLE = """CREATE TABLE IF NOT EXISTS facts
    (kind TEXT, path BLOB, state TEXT, fact, PRIMARY KEY (kind, path)) WITHOUT ROWID"""
FILE = "facts.sqlite"
PATIENCE_S = 5  # with other processes that write
# How SQLite says that another has the table, or that the file system has no locks, as some NFS.
NO_LOCKS = ("database is locked", "disk I/O error", "locking protocol")
_given_up: list[Path] = []  # tables that this process does without
_TICK_NS = 2 * 10**9  # the coarsest time stamps in use (FAT)
_log = logging.getLogger(__name__)


class Facts(Generic[Fact]):
    """One fact about each file, found out once: kept in a table of the cache folder.

    Several processes may use the table. It is a help and no need: one that cannot be read or
    written is left out, and one that is damaged begins anew.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._held: dict[File, Fact] = {}

    def of(
        self, paths: Sequence[Path], find: Callable[[Path], Fact], *, threads: int, group: int
    ) -> list[Fact]:
        """The fact about each file; `find` says it of those that are new or have changed.

        Threads take a `group` of files at a time. Raises what `find` raises.
        """
        folder = Path.cwd()
        seen = [_file(folder, path) for path in paths]
        self._recall([file for file in seen if file and file not in self._held])
        facts = {
            place: self._held[file]
            for place, file in enumerate(seen)
            if file and file in self._held
        }
        unknown = [place for place in range(len(paths)) if place not in facts]
        groups = [unknown[start : start + group] for start in range(0, len(unknown), group)]
        with ThreadPoolExecutor(threads) as pool:
            found = pool.map(lambda places: [find(paths[place]) for place in places], groups)
            facts.update(zip(unknown, chain.from_iterable(found), strict=True))
        self._keep({file: facts[place] for place in unknown if (file := seen[place])})
        return [facts[place] for place in range(len(paths))]

    def _recall(self, wanted: list[File]) -> None:
        """Hold what is in the table about files that have not changed since."""
        query = "SELECT fact FROM facts WHERE kind = ? AND path = ? AND state = ?"

        def read(table: sqlite3.Connection) -> None:
            for file in wanted:
                if row := table.execute(query, (self.kind, *file)).fetchone():
                    self._held[file] = row[0]

        if wanted:
            _use_table(read)

    def _keep(self, found: dict[File, Fact]) -> None:
        self._held.update(found)
        rows = [(self.kind, *file, fact) for file, fact in found.items()]
        if rows:
            _use_table(lambda t: t.executemany("REPLACE INTO facts VALUES (?, ?, ?, ?)", rows))


def identity(stat: os.stat_result) -> Identity | None:
    """What differs once a file has changed; None if it changed too lately to tell by its times.

    Two writes within a tick of the clock leave the same times. The rule is git's for index
    entries that are "racily clean".
    """
    if time.time_ns() - max(stat.st_mtime_ns, stat.st_ctime_ns) < _TICK_NS:
        return None
    device, times = (stat.st_dev, stat.st_ino), (stat.st_mtime_ns, stat.st_ctime_ns)
    return " ".join(map(str, (*device, stat.st_size, *times)))


def _file(folder: Path, path: Path) -> File | None:
    """The file as it is now; None for one that is not there, or of which nothing can be kept."""
    try:
        seen = identity(path.stat())
    except (OSError, ValueError):  # or no file can have this name
        return None
    # With its path: some network drives number their files anew whenever they are mounted.
    return (os.fsencode(folder / path), seen) if seen else None


def _use_table(work: Callable[[sqlite3.Connection], object]) -> None:
    """Work on the table of facts, all of it or nothing; without one that can be used, nothing.

    A table that is locked, or lies where nothing can be, is waited for once in a process.
    """
    if _given_up:
        return
    try:
        file = cache_folder() / FILE
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            with closing(sqlite3.connect(file, timeout=PATIENCE_S)) as table, table:
                table.execute(_TABLE)
                work(table)
        except sqlite3.OperationalError:  # locked, full or not to be written
            raise
        except sqlite3.DatabaseError:  # no table at all
            file.unlink()
            raise
    except (OSError, RegraftError, sqlite3.Error) as error:
        _log.debug("what is known about files is not kept: %s", error)
        if any(words in str(error) for words in NO_LOCKS):
            _given_up.append(file)
            _log.warning(
                "%s: %s; what is known about files is not kept, and they are read again (set "
                "REGRAFT_CACHE to a disk of this machine)",
                file,
                error,
            )
