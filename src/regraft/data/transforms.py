"""From an image as people have it to what the weights want to see: mode, size, crop, mean, std."""

import math
import re
import stat
import warnings
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TypeVar

import numpy as np
import torch
from PIL import ExifTags, Image, ImageChops, UnidentifiedImageError
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional

from regraft.data import dicom, tiff
from regraft.data.formats import DICOM_SUFFIXES, PILLOWS, READ, kind, named, suffix
from regraft.data.png import without_metadata
from regraft.errors import RegraftError

READER = 4  # of how images are read and fitted; with another number, nothing kept is known
_INTERPOLATIONS = {mode.value: mode for mode in InterpolationMode}
_CROP_MODES = ("center", "squash", "border")
# More than a phone takes (108 million); as RGB they take 0.4 GB, for each thread that reads. A file
# of a few kilobytes may hold as many as it likes.
MOST_PIXELS = 120_000_000
_LONGEST = 64  # times as long as wide: more of an image is not resized to be cropped off
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}  # by EXIF orientation
_TRUNCATED = "image file is truncated"
_CUT_OFF = re.compile(
    "(?i)truncated|end of file|decoder object|broken data stream|less than expected"
)
Pixels = TypeVar("Pixels", Image.Image, Tensor)
# What is white where eight bits do not say so: of 16 bits, of wider integers, of floats. None of a
# kind that the set does not have: each such image is a set of its own.
White = tuple[float | None, float | None, float | None]
WHITE = (65535.0, 65535.0, 1.0)
_LEVELS = (1, 255, 1023, 4095, 16383, 65535)  # that cameras and programs take for white
OVER = 1.1  # times white is reached where images were sharpened or resized
BRIGHTEST = 0.999  # of an image's pixels: hot pixels and reflections lie above


class UnreadableImageError(RegraftError):
    """A file that is not the image it should be; also one line when a DataLoader worker met it."""

    def __init__(self, text: str) -> None:
        # A worker's error is raised again as type(error)(text of its whole traceback).
        *_, last = text.splitlines()
        super().__init__(last.split(f"{__name__}.{type(self).__name__}: ", 1)[-1])


@dataclass(frozen=True)
class InputConfig:
    """What a set of weights was trained on, and so wants to see again; the words are timm's."""

    size: tuple[int, int]  # (height, width)
    mean: tuple[float, ...]
    std: tuple[float, ...]
    interpolation: str
    crop_pct: float
    crop_mode: str = "center"  # "squash" ignores the aspect ratio, "border" pads: no image is lost
    white: White = WHITE  # of the image set that it was trained on, not of the weights

    def __post_init__(self) -> None:
        if self.interpolation not in _INTERPOLATIONS:
            known = ", ".join(_INTERPOLATIONS)
            raise RegraftError(f"input: interpolation '{self.interpolation}' is none of {known}")
        if self.crop_mode not in _CROP_MODES:
            known = ", ".join(_CROP_MODES)
            raise RegraftError(f"input: crop mode '{self.crop_mode}' is none of {known}")
        if len(self.size) != 2 or not all(isinstance(n, int) and n > 0 for n in self.size):
            raise ValueError(f"input: size {self.size} is not a height and a width in pixels")
        if len(self.mean) != 3 or not all(map(math.isfinite, self.mean)):
            raise ValueError(f"input: mean {self.mean} is not a number for each of three channels")
        if len(self.std) != 3 or not all(0 < n < math.inf for n in self.std):
            raise ValueError(f"input: std {self.std} is not a spread for each of three channels")
        if not 0 < self.crop_pct < math.inf:
            raise ValueError(f"input: crop_pct {self.crop_pct} is no share above 0")
        if len(self.white) != 3 or not all(n is None or 0 < n < math.inf for n in self.white):
            raise ValueError(f"input: white {self.white} is not a number above 0 for each kind")

    def __str__(self) -> str:
        height, width = self.size
        mean, std = (
            ", ".join(dict.fromkeys(f"{n:.3g}" for n in values)) for values in (self.mean, self.std)
        )
        crop = {"center": "centre crop", "squash": "squashed", "border": "padded"}[self.crop_mode]
        return (
            f"{width}×{height} px, {self.interpolation}, {crop} {self.crop_pct:.3g}, "
            f"mean {mean}, std {std}"
        )

    def fit(self, images: Image.Image | np.ndarray | Tensor) -> Tensor:
        """Resize and crop: one picture to uint8 (3, H, W), a batch of arrays to uint8 (B, 3, H, W).

        Arrays are uint8, grey (B, h, w) or colour (B, h, w, 3); pixels are those of timm's own
        evaluation transform when a picture is given.
        """
        if isinstance(images, Image.Image):
            return functional.pil_to_tensor(self._crop(self._resize(to_rgb(images, self.white))))
        batch = _channels_first(images)
        if self.interpolation in ("lanczos", "box", "hamming"):  # torch has none of them
            pictures = (functional.to_pil_image(image) for image in batch)
            return torch.stack([self.fit(picture) for picture in pictures])
        fitted = self._crop(self._resize(batch))
        return fitted.expand(-1, 3, -1, -1).contiguous()

    def normalize(self, batch: Tensor) -> Tensor:
        """Uint8 (B, 3, H, W) to float32 with the mean and spread that the weights expect."""
        shape = (-1, 1, 1)
        mean, std = (
            torch.tensor(values).mul_(255).view(shape).to(batch.device, non_blocking=True)
            for values in (self.mean, self.std)
        )
        return batch.to(torch.float32).sub_(mean).div_(std)

    def _resize(self, images: Pixels) -> Pixels:
        if self.crop_mode == "center":
            images = _middle(images)
        height, width = (math.floor(edge / self.crop_pct) for edge in self.size)
        _, old_height, old_width = functional.get_dimensions(images)
        if self.crop_mode == "squash":
            new = [height, width]
        elif self.crop_mode == "center" and height == width:
            new = [height]  # the shorter side
        else:
            pick = min if self.crop_mode == "center" else max
            ratio = pick(old_height / height, old_width / width)
            new = [max(1, round(old_height / ratio)), max(1, round(old_width / ratio))]
        return functional.resize(
            images, new, interpolation=_INTERPOLATIONS[self.interpolation], antialias=True
        )

    def _crop(self, images: Pixels) -> Pixels:
        channels, height, width = functional.get_dimensions(images)
        missing = [max(0, new - old) for new, old in zip(self.size, (height, width), strict=True)]
        if self.crop_mode == "border" and any(missing):
            down, across = missing
            edges = [across // 2, down // 2, (across + 1) // 2, (down + 1) // 2]
            fill = [round(255 * value) for value in self.mean[:channels]]
            images = functional.pad(images, edges, fill=fill)
        return functional.center_crop(images, list(self.size))


def _middle(images: Pixels) -> Pixels:
    """Less of the long side of a line: 20000 x 2 pixels would be resized to gigabytes."""
    _, height, width = functional.get_dimensions(images)
    size = [min(height, _LONGEST * width), min(width, _LONGEST * height)]
    return images if size == [height, width] else functional.center_crop(images, size)


def read_image(path: Path, white: White | None = None) -> Image.Image:
    """The picture in a file, upright and in RGB; UnreadableImageError names a bad file.

    `white` is that of its set; without one, it is a set of its own.
    """
    with no_warnings():
        return decode(path, white)


def no_warnings() -> AbstractContextManager[None]:
    """Pillow warns of damaged tags and large pictures, which it reads all the same.

    It is for one thread at a time: filters of warnings belong to the process.
    """
    return warnings.catch_warnings(action="ignore")


def decode(path: Path, white: White | None = None) -> Image.Image:
    """`read_image` for threads, under `no_warnings` of the one that waits for them."""
    path = Path(path)  # a person at a prompt may give a text
    try:
        picture = _decode(path, white)
        picture.info = {}  # its tags have been followed; `fit` is not to read them again
        return picture
    except Exception as error:  # decoders raise whatever they trip over
        raise UnreadableImageError(_complaint(path, error)) from error


def _decode(path: Path, white: White | None) -> Image.Image:
    if not stat.S_ISREG(path.stat().st_mode):  # a pipe would be waited for
        raise RegraftError("it is no file")
    if suffix(path.name) in DICOM_SUFFIXES:
        return to_rgb(dicom.read(path, MOST_PIXELS))
    try:
        return _by_pillow(path, white)
    except (FileNotFoundError, Image.DecompressionBombError):
        raise
    except Exception:
        match kind(path):
            case "DICOM":
                return to_rgb(dicom.read(path, MOST_PIXELS))
            case "PNG":  # of metadata that Pillow does not want to unpack, perhaps
                return _by_pillow(without_metadata(path), white)
        raise


def _by_pillow(file: Path | BinaryIO, white: White | None) -> Image.Image:
    with Image.open(file, formats=PILLOWS) as image:
        if (pixels := image.width * image.height) > MOST_PIXELS:
            raise Image.DecompressionBombError(f"it has {pixels} pixels")
        tiff.refuse_planes(image)
        image.load()
        return to_rgb(image, white)


def _complaint(path: Path, error: Exception) -> str:
    """One line about a file that cannot be read."""
    what, way_out = what_is_wrong(error, path), "repair the file or delete it"
    reason = f"not a readable image: {what}" if what else "not a readable image"
    if isinstance(error, FileNotFoundError):
        reason, way_out = "no such file", "bring it back"
        if not path.parent.is_dir():
            reason = f"no such file, and {str(_gone(path))!r} is gone, too: moved, or unmounted"
    elif isinstance(error, Image.DecompressionBombError):
        [pixels] = re.findall(r"\d+", str(error))[:1]
        reason = f"{int(pixels):,} pixels, more than the {MOST_PIXELS:,} that are read"
        way_out = "make it smaller or delete it"
    return (
        f"{str(path)!r}: {reason} ({type(error).__name__}); {way_out}, or leave such files out "
        "from the start with data.on_error=skip"
    )


def what_is_wrong(error: BaseException, path: Path) -> str:
    """Which of the usual things is wrong with a file, in a few words; "" for none of them."""
    if _CUT_OFF.search(str(error)):
        return _TRUNCATED
    if isinstance(error, RegraftError):
        return str(error)
    if not isinstance(error, UnidentifiedImageError):
        return ""
    found = kind(path)
    if found == "TIFF":
        kind_of_it = tiff.described(path)
        return f"a TIFF of {kind_of_it}: save it with 8 bits" if kind_of_it else _TRUNCATED
    if found in READ:
        return f"it begins as {found}, and is cut off or damaged"
    return named(found)


def _gone(path: Path) -> Path:
    """The highest folder above the file that is not there."""
    absent = [folder for folder in path.absolute().parents if not folder.exists()]
    return absent[-1] if absent else path


def to_rgb(image: Image.Image, white: White | None = None) -> Image.Image:
    """Any picture as 8-bit RGB, turned as its EXIF tag says, transparency laid on white."""
    inverted, unsigned = is_inverted(image), tiff.is_unsigned(image)
    image = _upright(image)
    if (place := wide(image.mode)) is not None:
        values, hole = tiff.numbers(image, unsigned), image.info.get("transparency")
        top = white[place] if white else None
        if top is None:
            top = level_of(brightest(values), WHITE[place])
        image = Image.fromarray(_eight_bits(values, top))
        image = ImageChops.invert(image) if inverted else image
        if hole is not None:
            image.paste(255, mask=Image.fromarray(values == hole))
    elif image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image if image.mode == "RGB" else image.convert("RGB")


def wide(mode: str) -> int | None:
    """The place in `White` of a mode of Pillow's; None for eight bits, whose white is 255.

    >>> wide("I;16B"), wide("I"), wide("F"), wide("RGB")
    (0, 1, 2, None)
    """
    return 0 if mode.startswith("I;16") else {"I": 1, "F": 2}.get(mode)


def brightest(values: np.ndarray) -> float:
    """What all but the brightest pixels of an image do not exceed; 0 where none is a number."""
    finite = values[np.isfinite(values)]
    return float(np.quantile(finite, BRIGHTEST)) if finite.size else 0.0


def level_of(top: float, usual: float) -> float:
    """The lowest of the levels that are taken for white that the brightest pixels reach.

    >>> level_of(0.98, 1), level_of(256.5, 1), level_of(3000, 65535), level_of(0, 65535)
    (1.0, 255.0, 4095.0, 65535.0)
    """
    if top <= 0:  # all is black
        return float(usual)
    return float(next((level for level in _LEVELS if top <= OVER * level), top))


def is_inverted(image: Image.Image) -> bool:
    """Whether zero is white: Pillow turns such TIFF round with up to eight bits only."""
    tags = getattr(image, "tag_v2", {})
    return wide(image.mode) is not None and tags.get(262) == 0


def _upright(image: Image.Image) -> Image.Image:
    """Turned as the EXIF tag says; damaged tags say nothing."""
    image.load()  # which turns TIFF by itself
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # whatever the reader of tags trips over, the pixels are there
        return image
    # Not by ImageOps.exif_transpose: it writes all other tags anew, and fails where one is odd.
    turn = _UPRIGHT.get(orientation)
    if turn is None:
        return image
    turned = image.transpose(turn)
    turned.info = {name: image.info[name] for name in image.info if name == "transparency"}
    return turned


def _eight_bits(values: np.ndarray, white: float) -> np.ndarray:
    """Grey as uint8: 0 and below is black, and what is no number; `white` and above is white.

    >>> _eight_bits(np.array([0, 257, 65535], np.uint16), 65535)
    array([  0,   1, 255], dtype=uint8)
    """
    numbers = np.nan_to_num(values.astype(np.float64))
    return np.clip(numbers * (255 / white), 0, 255).round().astype(np.uint8)


def _channels_first(images: np.ndarray | Tensor) -> Tensor:
    """Uint8 (B, 1 or 3, h, w); grey keeps its one channel, for a third of the work."""
    if isinstance(images, np.ndarray):
        images = torch.from_numpy(images if images.flags.writeable else images.copy())
    if images.dtype != torch.uint8 or images.ndim not in (3, 4):
        raise ValueError(f"images must be uint8 (B, h, w[, 3]), not {images.dtype} {images.shape}")
    return images.unsqueeze(1) if images.ndim == 3 else images.movedim(-1, 1)
