"""Fonts that have the letters of other people's names; matplotlib's own has no Chinese, say."""

import logging
import unicodedata
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from matplotlib import font_manager
from matplotlib.figure import Figure
from matplotlib.ft2font import FT2Font
from matplotlib.text import Text

from regraft.errors import RegraftError, did_you_mean

OWN = "DejaVu Sans"  # comes with matplotlib
# Asked in this order, before all others of a system: complete, and the same letters everywhere.
KNOWN = ("notosanscjk", "sourcehansans", "wqy", "pingfang", "msyh", "malgun", "notosans", "symbola")
PACKAGES = {  # of Debian and Ubuntu, by the first word of a letter's name in Unicode
    **dict.fromkeys(("CJK", "HIRAGANA", "KATAKANA", "HANGUL", "BOPOMOFO"), "fonts-noto-cjk"),
    **dict.fromkeys(("FULLWIDTH", "HALFWIDTH", "IDEOGRAPHIC"), "fonts-noto-cjk"),
}
_asked: ContextVar[str | None] = ContextVar("font", default=None)
_told: set[str] = set()  # packages that have been named
_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Figures:
    """How pictures are drawn: `font` is the name, or the file, of the font that is asked first.

    Raises RegraftError where there is no such font.
    """

    font: str | None

    def __post_init__(self) -> None:
        if self.font and family(self.font) is None:
            hint = did_you_mean(self.font, font_manager.get_font_names())
            raise RegraftError(
                f"figures.font={self.font}: no font of this name is installed, and no file of a "
                f"font is there{hint}"
            )


@contextmanager
def asked_first(font: str | None) -> Iterator[None]:
    """Draw with this font, its name or file; one that is gone by now is left out."""
    token = _asked.set(font)
    try:
        yield
    finally:
        _asked.reset(token)


def families() -> list[str]:
    """The fonts that every picture is drawn with, as matplotlib asks them for each letter."""
    asked = family(font) if (font := _asked.get()) else None
    return [asked, OWN] if asked else [OWN]


def fit(figure: Figure) -> bool:
    """Give the texts of a figure that has been drawn fonts with their letters; whether it has to
    be drawn again. Letters that no font has are told once, with the package that has them."""
    texts = [one for one in figure.findobj(Text) if isinstance(one, Text)]
    missing = {c for text in texts for c in text.get_text() if _is_drawn(c)}
    for name in families():
        missing -= letters(font_manager.findfont(name))
    if not missing:
        return False
    more = list(having(missing))
    for path in more:
        missing -= letters(path)
    if missing:
        _tell(missing)
    names = [*families(), *filter(None, map(family, more))]
    for text in texts:
        text.set_fontfamily(names)
    return bool(more)


def having(wanted: Iterable[str]) -> Iterator[str]:
    """Files of installed fonts that have these letters between them, as far as there are any."""
    missing = set(wanted)
    for path in sorted(font_manager.findSystemFonts(), key=_order):
        if not missing:
            return
        if found := missing & letters(path):
            missing -= found
            yield path


def family(font: str) -> str | None:
    """The name by which matplotlib knows a font, given that or its file; None if it is none."""
    if not Path(font).is_file():
        return next((n for n in font_manager.get_font_names() if n.lower() == font.lower()), None)
    try:
        name = FT2Font(font).family_name
        if name not in font_manager.get_font_names():
            font_manager.fontManager.addfont(font)
    except (OSError, RuntimeError):
        return None
    return str(name)


@cache
def letters(path: str) -> frozenset[str]:
    """What a font has; nothing of one of bitmaps, as of coloured emoji, or that is damaged."""
    try:
        font = FT2Font(path)
    except (OSError, RuntimeError):
        return frozenset()
    return frozenset(map(chr, font.get_charmap())) if font.scalable else frozenset()


def _order(path: str) -> tuple[int, str]:
    name = Path(path).name.lower().replace("-", "").replace("_", "")
    return next((i for i, known in enumerate(KNOWN) if name.startswith(known)), len(KNOWN)), path


def _is_drawn(letter: str) -> bool:
    """Whether a letter leaves a mark of its own: no space, no sign that joins or selects."""
    return unicodedata.category(letter) not in ("Zs", "Cc", "Cf", "Mn", "Cn")


def _package(letter: str) -> str:
    script = unicodedata.name(letter, "").partition(" ")[0]
    emoji = "fonts-symbola" if unicodedata.category(letter).startswith("S") else "fonts-noto-core"
    return PACKAGES.get(script, emoji)


def _tell(missing: Iterable[str]) -> None:
    packages = sorted({_package(letter) for letter in missing} - _told)
    if not packages:
        return
    _told.update(packages)
    some = "".join(sorted(missing)[:12])
    _log.warning(
        "pictures: no font here has %s, which are drawn as boxes; install one (on Debian and "
        "Ubuntu: apt install %s), or give figures.font=<file of a font>",
        some,
        " ".join(packages),
    )
