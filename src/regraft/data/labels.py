"""Labels as people and programs write them: what is none, what is a number, what is alike."""

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from regraft.data.names import natural, spelt
from regraft.errors import RegraftError

OnMissing = Literal["error", "skip"]
# Whether labels that look alike are one: None refuses them, False keeps them apart.
MergeLabels = bool | None

# What pandas reads as empty. In other letters they may be names: Na is sodium.
_NONE = {"", "nan", "NaN", "-nan", "-NaN", "None", "NULL", "null", "NA", "N/A", "n/a", "<NA>"}
_NONE |= {"NAN", "NaT", "Null"}
_NONE |= {"#N/A", "#N/A N/A", "#NA", "1.#IND", "-1.#IND", "1.#QNAN", "-1.#QNAN"}
_SELECTORS = {*map(chr, range(0xFE00, 0xFE10)), "\u034f", "\u3164"}
_WHOLE = re.compile(r"(-?\d+)(\.0*)?")


def as_written(value: object) -> str:
    """What stands in a cell, without spaces around it."""
    return (
        value.decode(errors="surrogateescape") if isinstance(value, bytes) else f"{value}"
    ).strip()


def as_text(value: object) -> str:
    """The same in one spelling; "" for NaN, None and the words that stand for them.

    >>> as_text(float("nan")), as_text(" NA "), as_text(b"cat"), as_text(0)
    ('', '', 'cat', '0')
    """
    text = spelt(as_written(value))
    return "" if _seen(text).strip() in _NONE else text


def whole_numbers(labels: Sequence[str]) -> list[str]:
    """The same labels; those of a column of floats that are all whole without their ".0".

    >>> whole_numbers(["1.0", "-0.0", "", "2"]), whole_numbers(["1.0", "0.5"])
    (['1', '0', '', '2'], ['1.0', '0.5'])
    """
    found = [_WHOLE.fullmatch(label) for label in labels]
    if all(match or not label for match, label in zip(found, labels, strict=True)):
        whole = (match[1] if match else "" for match in found)
        return ["0" if label == "-0" else label for label in whole]
    return list(labels)


def folded(name: str) -> str:
    """What is the same for names that a reader takes for one: they differ in case, spaces and
    underscores, a full stop at the end, Unicode form (NFKC) or invisible characters.

    >>> folded("Big_Cat ") == folded("big\\u200b\\xa0\\xa0cat") == folded("\\uff22ig cat.")
    True
    >>> folded("-1") == folded("1")
    False
    """
    text = _seen(unicodedata.normalize("NFKC", name)).replace("_", " ")
    text = " ".join(text.split()).rstrip(" .")
    # Of Turkish, İ and ı are I and i in other letters; a non-breaking hyphen is a hyphen.
    text = text.casefold().replace("i\u0307", "i").replace("ı", "i").replace("\u2010", "-")
    return unicodedata.normalize("NFKC", text) or name


def settled(counts: Mapping[str, int], merge: MergeLabels, where: str) -> dict[str, str]:
    """The class of each label, whose images are counted: its own, or the most frequent spelling of
    those that look alike, the first in natural order where several are.

    Raises RegraftError for labels that look alike unless it is said what they are.
    """
    groups: dict[str, list[str]] = {}
    for name in () if merge is False else counts:
        groups.setdefault(folded(name), []).append(name)
    twins = [sorted(names, key=natural) for names in groups.values() if len(names) > 1]
    if twins and merge is None:
        raise RegraftError(
            f"{where}: {alike(twins, counts)} differ in case, spaces, Unicode form or invisible "
            "characters only; correct them, or set data.merge_labels=true if they are one class, "
            "false if they are several"
        )
    classes = {name: name for name in counts}
    for names in twins:
        classes |= dict.fromkeys(names, max(names, key=lambda name: counts[name]))
    return classes


def alike(twins: Sequence[Sequence[str]], counts: Mapping[str, int]) -> str:
    """Labels that look alike, so that what differs is seen, and how many images each has."""
    each = [
        " and ".join(f"{_quoted(name)} ({counts[name]:,} images)" for name in names)
        for names in twins[:3]
    ]
    more = f" and {len(twins) - 3} more" if len(twins) > 3 else ""
    return ", ".join(each) + more


def _quoted(name: str) -> str:
    """A name in quotes, with codes for what is not seen, nor how often it is there."""
    return re.sub("  +", lambda spaces: r"\x20" * len(spaces[0]), repr(name))


def merged(classes: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """The other spellings of each class that has any."""
    found: dict[str, list[str]] = {}
    for label, name in classes.items():
        if label != name:
            found.setdefault(name, []).append(label)
    return {name: tuple(sorted(found[name], key=natural)) for name in sorted(found, key=natural)}


def merged_in_words(found: Mapping[str, Iterable[str]]) -> list[str]:
    """A sentence about the labels that were merged; none if none were."""
    if not found:
        return []
    each = (
        f"{', '.join(map(_quoted, labels))} as {_quoted(name)}" for name, labels in found.items()
    )
    return [f"labels that look alike are one class (data.merge_labels=true): {'; '.join(each)}"]


def _seen(text: str) -> str:
    """The text without what shows nothing: format and control characters, variation selectors."""
    if text.isascii() and text.isprintable():
        return text
    kinds = ((sign, unicodedata.category(sign)) for sign in text)
    return "".join(
        sign
        for sign, kind in kinds
        if not (kind == "Cf" or (kind == "Cc" and not sign.isspace()) or sign in _SELECTORS)
    )
