"""Where things lie on disk, the YAML that is shipped and the cache; and how a file gets there."""

import os
from pathlib import Path

from regraft.errors import RegraftError

SWEEP = "sweep.json"  # in a sweep's folder: how many jobs it is to have


def conf_folder() -> Path:
    """The config tree: beside this file in an installed package, else in the checkout."""
    packaged = Path(__file__).parent / "conf"
    return packaged if packaged.is_dir() else Path(__file__).parents[2] / "conf"


def features_folder() -> Path:
    """Where features of frozen stages are stored."""
    return cache_folder() / "features"


def write_whole(path: Path, content: bytes) -> None:
    """Replace a file as a whole, so that a reader never meets half of it."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    unfinished.write_bytes(content)
    unfinished.replace(path)


def cache_folder() -> Path:
    """REGRAFT_CACHE, or the place where users' caches belong; it need not exist yet.

    Raises RegraftError where that would be a home folder, and there is none.
    """
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    try:
        return Path(os.environ.get("REGRAFT_CACHE") or f"{base}/regraft").expanduser()
    except RuntimeError as error:
        raise RegraftError("no home folder for the cache: set REGRAFT_CACHE to a folder") from error
