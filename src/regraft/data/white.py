"""What is white in images of floats and of more than eight bits: one rule for a whole set.

Eight bits say it by themselves. Of other numbers an image alone does not: one bright pixel would
make all of it dark.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from annotated_types import Gt
from PIL import Image
from PIL import __version__ as pillow

from regraft.data import tiff
from regraft.data.formats import DICOM_SUFFIXES, PILLOWS, suffix
from regraft.data.transforms import (
    BRIGHTEST,
    MOST_PIXELS,
    OVER,
    WHITE,
    White,
    brightest,
    level_of,
    no_warnings,
    wide,
)
from regraft.environment import cores
from regraft.facts import Facts

Rule = Literal["auto"] | Annotated[float, Gt(0)]
KINDS = ("16 bits", "integers", "floats")  # in the order of `White`
MOST = 256  # images that are looked at
UNSEEN: White = (WHITE[0], None, None)  # of kinds that a set does not have: of 16 bits it is known
RARE = 0.98  # of the images: one that is of another kind does not decide for all
# Tags of TIFF: BitsPerSample, MaxSampleValue, SMaxSampleValue.
_BITS, _MAX, _SMAX = 258, 281, 341
_EIGHT_BITS = {".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".gif", ".bmp", ".avif", ".heic", ".heif"}
_EIGHT_BITS |= DICOM_SUFFIXES  # which have a window
_PIXELS = 2**22  # of an image that are looked at
_known = Facts[str](f"range of numbers, unsigned ones, below {BRIGHTEST}, Pillow {pillow}")


@dataclass(frozen=True)
class Whites:
    """What is white in a set of images, and what was seen of them."""

    values: White = UNSEEN
    told: str = ""  # why so; "" where no image has such numbers
    odd: str = ""  # which pixels are none that could be shown


USUAL = Whites()


@dataclass(frozen=True)
class _Range:
    """The numbers of one image."""

    kind: int  # the place in `White`
    said: float | None  # white, as its tags have it
    top: float  # below which all but the brightest pixels are
    pixels: int
    negative: int
    nan: int
    infinite: int


def measured(files: Sequence[Path], rule: Rule) -> Whites:
    """The white of these images: a number for all, or found by looking at some, always the same.

    `auto` takes what the tags say if all say the same, or else the lowest usual white that the
    brightest pixels of the brightest images reach. What was found in a file is kept until it
    changes; files of formats that have eight bits are not opened.
    """
    seen = _ranges(_some(sorted(path for path in files if suffix(path.name) not in _EIGHT_BITS)))
    values = [*UNSEEN] if rule == "auto" else [float(rule)] * len(KINDS)
    told = []
    for kind, name in enumerate(KINDS):
        if ranges := [one for one in seen if one.kind == kind]:
            why = "data.white"
            if rule == "auto":
                values[kind], why = _white(kind, ranges)
            told.append(f"{name}: {values[kind]:g} ({why}; {len(ranges):,} images looked at)")
    return Whites((values[0], values[1], values[2]), ", ".join(told), _odd(seen))


def _white(kind: int, ranges: Sequence[_Range]) -> tuple[float, str]:
    """White for images of one kind, and why."""
    top = float(np.quantile([one.top for one in ranges], RARE, method="lower"))
    [said, *others] = {one.said for one in ranges}
    if said is not None and not others and top <= OVER * said:
        return said, "as their tags say"
    return level_of(top, WHITE[kind]), f"they reach {top:.4g}"


def _odd(seen: Sequence[_Range]) -> str:
    """How many pixels are no brightness."""
    counts = {
        what: sum(getattr(one, what) for one in seen) for what in ("negative", "nan", "infinite")
    }
    words = [f"{count:,} {what.replace('nan', 'NaN')}" for what, count in counts.items() if count]
    if not words:
        return ""
    images = sum(bool(one.negative or one.nan or one.infinite) for one in seen)
    total = sum(one.pixels for one in seen)
    return (
        f"{', '.join(words)} of {total:,} pixels, in {images:,} of {len(seen):,} images: negative "
        "and NaN become black, infinite white"
    )


def _some(files: Sequence[Path]) -> Sequence[Path]:
    """At most `MOST` of them, from beginning to end."""
    places = np.linspace(0, len(files) - 1, min(MOST, len(files))).round().astype(int)
    return [files[place] for place in places]


def _ranges(files: Sequence[Path]) -> list[_Range]:
    """Of those whose numbers are no eight bits."""
    with no_warnings():
        found = _known.of(files, _range, threads=cores(), group=1)
    return [_Range(**json.loads(text)) for text in found if text]


def _range(path: Path) -> str:
    """As JSON; "" for eight bits, and for what cannot be read, which others tell."""
    try:
        with Image.open(path, formats=PILLOWS) as image:
            kind = wide(image.mode)
            if kind is None or image.width * image.height > MOST_PIXELS:
                return ""
            said = _said(getattr(image, "tag_v2", {}))
            values = tiff.numbers(image, tiff.is_unsigned(image))
            step = math.ceil(math.sqrt(values.size / _PIXELS))
            values = values[::step, ::step]
    except Exception:  # decoders raise whatever they trip over
        return ""
    finite = values[np.isfinite(values)]
    top = brightest(values)
    nan = int(np.isnan(values).sum())
    infinite = values.size - finite.size - nan
    counts = values.size, int((finite < 0).sum()), nan, infinite
    return json.dumps(asdict(_Range(kind, said, top, *counts)))


def _said(tags: Any) -> float | None:
    """White as the tags have it; None where they leave it open, as 16 bits do."""
    for tag in (_SMAX, _MAX):
        value = tags.get(tag)
        value = value[0] if isinstance(value, tuple) and value else value
        if value is not None and float(value) > 0:
            return float(value)
    bits = tags.get(_BITS)
    bits = bits[0] if isinstance(bits, tuple) else bits
    return float(2**bits - 1) if bits is not None and 8 < bits < 16 else None
