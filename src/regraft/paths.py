"""Where things lie on disk, the YAML that is shipped and the cache; and how a file gets there."""

import errno
import logging
import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from regraft.errors import RegraftError

_log = logging.getLogger(__name__)

NETWORK = ("nfs", "cifs", "smb", "lustre", "gpfs", "beegfs", "ceph", "afs", "9p", "sshfs", "panfs")
NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)  # how a file system says so
_said: set[Path] = set()  # folders of which this process has said that they have no locks
PATIENCE_S = 3600  # with a network drive's lock, which may be that of a machine that has died
SWEEP = "sweep.json"  # in a sweep's folder: how many jobs it is to have


def conf_folder() -> Path:
    """The config tree: beside this file in an installed package, else in the checkout."""
    packaged = Path(__file__).parent / "conf"
    return packaged if packaged.is_dir() else Path(__file__).parents[2] / "conf"


def features_folder() -> Path:
    """Where features of frozen stages are stored."""
    return cache_folder() / "features"


def weights_folder() -> Path:
    """Where weights that jobs have made for themselves are stored."""
    return cache_folder() / "pretrained"


def shown(folder: Path) -> str:
    """A folder as one would type it here."""
    inside = folder.is_absolute() and folder.is_relative_to(Path.cwd())
    return str(folder.relative_to(Path.cwd()) if inside else folder)


def group_of(sweep: Path) -> str:
    """What a sweep is called, from its folder: date and time."""
    return " ".join(sweep.parts[-2:])


def write_whole(path: Path, content: bytes) -> None:
    """Replace a file as a whole, so that a reader never meets half of it."""
    with whole(path) as unfinished:
        unfinished.write_bytes(content)


def write_in_place(path: Path, content: bytes) -> bool:
    """Replace a file by what takes no more room on the disk, which may be full; whether it could.

    A reader may meet half of it.
    """
    try:
        if len(content) > getattr(path.stat(), "st_blocks", 0) * 512:  # bytes that it has already
            return False
        with path.open("r+b", buffering=0) as file:
            file.write(content)
            file.truncate()
    except OSError:
        return False
    return True


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Where to write what replaces a file as a whole, and only if nothing goes wrong.

    An OSError that does not say which file it is about names this one.
    """
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield unfinished
        unfinished.replace(path)
    except OSError as error:
        if error.filename not in (None, str(unfinished), unfinished):
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        with suppress(OSError):
            unfinished.unlink(missing_ok=True)


@contextmanager
def whole_folder(folder: Path, mark: str | None = None) -> Iterator[Path]:
    """Where to fill what becomes a folder as a whole, and only if nothing goes wrong.

    It takes the place of an empty one, and of one that has the file `mark` in it. Raises
    RegraftError where another stands; an OSError about what is in it names the folder.
    """
    ours = mark is not None and (folder / mark).is_file()
    if folder.exists() and not ours and any(folder.iterdir()):
        raise RegraftError(f"{shown(folder)} holds other things: rename it, or write elsewhere")
    unfinished, before = (
        folder.with_name(f".{folder.name}.{os.getpid()}{end}") for end in ("", ".before")
    )
    try:
        unfinished.mkdir(parents=True)
        yield unfinished
        if folder.exists():
            folder.rename(before)
        unfinished.rename(folder)
    except OSError as error:
        if str(error.filename or unfinished).startswith(str(unfinished)):
            raise OSError(error.errno, error.strerror, str(folder)) from error
        raise
    finally:
        if not folder.exists() and before.exists():
            before.rename(folder)
        for rest in (unfinished, before):
            shutil.rmtree(rest, ignore_errors=True)


def file_lock(path: Path) -> FileLock:
    """A lock that the system gives back when its owner dies.

    To take it raises OSError or NotImplementedError where the file system has no locks: filelock's
    soft lock, for such places, would outlive its owner.
    """
    return FileLock(path, fallback_to_soft=False)


def take(path: Path, notice: str = "", *, wait: bool = True) -> FileLock | None:
    """The lock at a path, once its owner has given it back; None to go on without one.

    So where the file system has no locks, and on a network drive after PATIENCE_S: it may keep the
    lock of a machine that has died. A person who has to wait reads the notice. Without waiting,
    raises Timeout.
    """
    lock, patience = file_lock(path), PATIENCE_S if is_shared(path) else -1
    try:
        lock.acquire(blocking=False)
    except Timeout:
        if not wait:
            raise
        if notice:
            _log.info("%s", notice)
        try:
            lock.acquire(timeout=patience)
        except Timeout:
            _log.warning("%s: nobody gave it back in %.0f s; going on without it", path, patience)
            return None
    except (OSError, NotImplementedError) as error:
        if getattr(error, "errno", None) in NO_LOCKS or isinstance(error, NotImplementedError):
            _say_no_locks(path.parent, error)
        return None
    return lock


def _say_no_locks(folder: Path, error: Exception) -> None:
    if folder not in _said:
        _said.add(folder)
        _log.warning("%s: nothing is locked there, it may be made twice: %s", folder, error)


def is_shared(path: Path, mounts: Path = Path("/proc/self/mounts")) -> bool:
    """Whether a path lies on a network drive, as far as this system says what is mounted where."""
    try:
        lines = [line.split() for line in mounts.read_text(encoding="utf-8").splitlines()]
    except OSError:  # no Linux
        return False
    where = path.resolve()
    found = ((Path(line[1]), line[2]) for line in lines if where.is_relative_to(line[1]))
    _, kind = max(found, key=lambda one: len(one[0].parts), default=(path, ""))
    return kind.removeprefix("fuse.").startswith(NETWORK)


def make_whole(
    folder: Path,
    fill: Callable[[Path], Path],
    is_whole: Callable[[Path], bool] = lambda folder: True,
) -> None:
    """Make a folder, once for all processes that want it: it is there whole or not at all.

    `fill` is given an empty folder beside it and returns what of that is to become it; the rest is
    removed, and all of it if `fill` raises. A folder that `is_whole` says is damaged is made anew.
    Raises OSError.
    """
    unfinished = folder.with_name(f".{folder.name}.part")
    folder.parent.mkdir(parents=True, exist_ok=True)
    lock = take(
        folder.with_name(f".{folder.name}.lock"), f"waiting for another process to make {folder}"
    )
    if lock is None:  # another one may be at it
        unfinished = folder.with_name(f".{folder.name}.{uuid.uuid4().hex}.part")
    try:
        if folder.is_dir() and not is_whole(folder):
            _log.warning("%s: what is damaged is removed and made again", folder)
            shutil.rmtree(folder)
        if not folder.is_dir():
            shutil.rmtree(unfinished, ignore_errors=True)  # of a process that was killed
            unfinished.mkdir()
            _publish(fill(unfinished), folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
        if lock is not None:
            lock.release()


def _publish(made: Path, folder: Path) -> None:
    try:
        made.rename(folder)
    except OSError:
        if not folder.is_dir():  # where there are no locks, another may have come first
            raise


def cache_folder() -> Path:
    """REGRAFT_CACHE, or the place where users' caches belong; it need not exist yet.

    Raises RegraftError where that would be a home folder, and there is none.
    """
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    try:
        return Path(os.environ.get("REGRAFT_CACHE") or f"{base}/regraft").expanduser()
    except RuntimeError as error:
        raise RegraftError("no home folder for the cache: set REGRAFT_CACHE to a folder") from error
