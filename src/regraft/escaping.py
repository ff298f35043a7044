"""Names are other people's text: how they are shown without being obeyed, and read back from CSV.

A class or a file may be called `=HYPERLINK(…)`, `[red]`, `a|b` or have the codes of a terminal.
"""

import re
from typing import Any

# What makes a spreadsheet take a cell for a formula (OWASP); ' is the mark that undoes it.
_FORMULA = ("=", "+", "-", "@", "'", "\t", "\r", "＝", "＋", "－", "＠")


def printable(value: Any) -> str:
    """A value on one line, without control characters; None as nothing."""
    text = "" if value is None else str(value)
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def in_markdown(value: Any) -> str:
    """A value that Markdown shows as it is, in a table too."""
    text = re.sub(r"([\\`*\[\]<>|~$])", r"\\\1", printable(value))
    return re.sub(
        r"(?<![^\W_])_|_(?![^\W_])", r"\\_", text
    )  # not within a word: it means nothing there


def in_csv(value: Any) -> Any:
    """A text for a CSV file, from which `from_csv` reads it back; a number stays one.

    >>> [in_csv(value) for value in ("cat", "=1+1", "-1", -1, "a\\x1b[31m", "back\\\\slash")]
    ['cat', "'=1+1", "'-1", -1, 'a\\\\x1b[31m', 'back\\\\\\\\slash']
    """
    if not isinstance(value, str):
        return value
    text = "".join(c if c.isprintable() else _code(c) for c in value.replace("\\", "\\\\"))
    return f"'{text}" if value.startswith(_FORMULA) else text


def from_csv(text: str) -> str:
    """The text of which `in_csv` made this.

    >>> [from_csv(in_csv(text)) for text in ("'=x", "a\\nb\\\\n", "\\udcff")]
    ["'=x", 'a\\nb\\\\n', '\\udcff']
    """
    text = text.removeprefix("'")
    if "\\" not in text:
        return text
    return re.sub(
        r"\\(\\|x[0-9a-f]{2}|u[0-9a-f]{4}|U[0-9a-f]{8})",
        lambda found: found[1] if found[1] == "\\" else chr(int(found[1][1:], 16)),
        text,
    )


def _code(character: str) -> str:
    number = ord(character)
    if number < 0x100:
        return f"\\x{number:02x}"
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"
