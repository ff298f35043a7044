"""TIFF that Pillow does not read, or reads as something else."""

from pathlib import Path

import numpy as np
from PIL import Image
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from regraft.errors import RegraftError

_BITS, _CHANNELS, _PLANES, _FORMAT = 258, 277, 284, 339
_FORMATS = {2: "signed ", 3: "float "}


def described(path: Path) -> str:
    """Channels and bits as its tags have them; "" where these lie beyond the file's end."""
    try:
        with path.open("rb") as file:
            begin = file.read(8)
            begin += file.read(8) if 43 in begin[2:4] else b""  # BigTIFF
            tags = ImageFileDirectory_v2(begin)
            file.seek(tags.next)
            tags.load(file)
        channels, bits = tags.get(_CHANNELS, 1), tags[_BITS]
    except Exception:  # there are as many kinds of errors as of damage
        return ""
    each, signed = (value[0] for value in (bits, tags.get(_FORMAT, (1,))))
    several = "s" if channels > 1 else ""
    return f"{channels} channel{several} of {each} {_FORMATS.get(signed, '')}bits"


def is_unsigned(image: Image.Image) -> bool:
    """Whether its 32 bits have no sign, which a mode of Pillow cannot say."""
    tags = getattr(image, "tag_v2", {})
    return image.mode == "I" and tags.get(_BITS) == (32,) and tags.get(_FORMAT, (1,)) == (1,)


def numbers(image: Image.Image, unsigned: bool) -> np.ndarray:
    """Its pixels (H, W) or (H, W, C); Pillow takes the upper half of 32 bits for negative."""
    values = np.asarray(image)
    return values.view(np.uint32) if unsigned else values


def refuse_planes(image: Image.Image) -> None:
    """Raises RegraftError for planes of more than eight bits, whose colours Pillow mixes up."""
    tags = getattr(image, "tag_v2", {})
    bits = tags.get(_BITS, (8,))
    if tags.get(_PLANES) == 2 and len(bits) > 1 and max(bits) > 8:
        raise RegraftError(f"a TIFF of {len(bits)} planes of {max(bits)} bits: save it with 8 bits")
