"""What kind of TIFF it is that Pillow does not read, in words."""

from pathlib import Path

from PIL.TiffImagePlugin import ImageFileDirectory_v2

_BITS, _CHANNELS, _FORMAT = 258, 277, 339
_FORMATS = {2: "signed ", 3: "float "}


def described(path: Path) -> str:
    """Channels and bits as its tags have them; "" where these lie beyond the file's end."""
    try:
        with path.open("rb") as file:
            tags = ImageFileDirectory_v2(file.read(8))
            file.seek(tags.next)
            tags.load(file)
        channels, bits = tags.get(_CHANNELS, 1), tags[_BITS]
    except Exception:  # there are as many kinds of errors as of damage
        return ""
    each, signed = (value[0] for value in (bits, tags.get(_FORMAT, (1,))))
    several = "s" if channels > 1 else ""
    return f"{channels} channel{several} of {each} {_FORMATS.get(signed, '')}bits"
