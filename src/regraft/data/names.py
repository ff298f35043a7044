"""Names of files and classes: their order, their spelling, and which of them a person means."""

import re
import unicodedata
from collections.abc import Sequence

_NOT_OURS = {"thumbs.db", "ehthumbs.db", "desktop.ini", "__macosx", "@eadir", "lost+found"}
_NOT_OURS |= {"$recycle.bin", "system volume information"}


def is_ours(name: str) -> bool:
    """Whether a person would call it theirs: not hidden, and not what a program left there."""
    return not name.startswith(".") and name.casefold() not in _NOT_OURS


def natural(name: str) -> tuple[list[str | int], str]:
    """Sorts "class 2" before "class 10".

    >>> sorted(["b10", "B2", "a"], key=natural)
    ['a', 'B2', 'b10']
    """
    pieces: list[str | int] = [*re.split(r"(\d+)", name.casefold())]
    pieces[1::2] = map(int, pieces[1::2])
    return pieces, name


def spelt(name: str) -> str:
    """A name as text: what looks the same is the same, and bytes that are no UTF-8 are escaped.

    Macs write é as an e and an accent, others as one letter.

    >>> spelt("cafe\\u0301") == "caf\\xe9", spelt("caf\\udce9")
    (True, 'caf\\\\udce9')
    """
    return unicodedata.normalize("NFC", name).encode(errors="backslashreplace").decode()


def some(names: Sequence[str], most: int = 3) -> str:
    """The first of many names.

    >>> some(["a", "b", "c", "d", "e"])
    'a, b, c and 2 more'
    """
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
