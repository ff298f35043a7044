"""A look at a random sample of the images, each read once for all that is to be seen in it."""

import random
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor

from regraft.data.images import Images, SplitName
from regraft.data.readable import why
from regraft.data.transforms import UnreadableImageError, decode, no_warnings
from regraft.doctor.findings import Budget
from regraft.environment import cores
from regraft.features import SPLITS

BUDGET_S = 6
MOST = 20_000  # images, so that comparing all pairs of them stays a matter of seconds
THUMBNAIL = 16  # pixels; with 8, digits look more alike and crops less
_AT_ONCE = 16  # between two looks at the clock


@dataclass(frozen=True)
class Seen:
    """What one image looks like."""

    split: SplitName
    index: int  # in its split
    size: tuple[int, int]  # (height, width) as it is stored
    fitted: Tensor | None  # uint8 (3, H, W); None once enough are kept
    moments: tuple[float, float]  # mean and mean square of it, as the network sees it
    constant: bool
    thumbnail: np.ndarray  # float32 (THUMBNAIL²,) of mean 0 and length 1, grey; or all 0
    seconds: float  # that reading and fitting took


@dataclass(frozen=True)
class Sample:
    """What was seen of the images, and which of those looked at cannot be read."""

    seen: Sequence[Seen]
    unreadable: Sequence[tuple[SplitName, int, str]]
    total: int

    @property
    def looked_at(self) -> int:
        return len(self.seen) + len(self.unreadable)

    @property
    def words(self) -> str:
        """How many were looked at."""
        if self.looked_at == self.total:
            return f"all {self.total:,} images"
        return f"{self.looked_at:,} of {self.total:,} images, a random sample"


def look(images: Images, seed: int, *, keep: int) -> Sample:
    """Read images in random order, until all are read or the time is spent; `keep` some pixels."""
    places = [(split, index) for split in SPLITS for index in range(images.sizes[split])]
    random.Random(seed).shuffle(places)
    budget = Budget(BUDGET_S)
    seen: list[Seen] = []
    bad: list[tuple[SplitName, int, str]] = []
    with no_warnings(), ThreadPoolExecutor(cores()) as threads:
        for start in range(0, min(len(places), MOST), _AT_ONCE):
            if start and budget.spent:
                break
            some = places[start : start + _AT_ONCE]
            for found in threads.map(partial(_see, images, keep=len(seen) < keep), some):
                if isinstance(found, Seen):
                    seen.append(found)
                else:
                    bad.append(found)
    return Sample(seen, bad, len(places))


def _see(
    images: Images, place: tuple[SplitName, int], *, keep: bool
) -> Seen | tuple[SplitName, int, str]:
    split, index = place
    started = time.perf_counter()
    source = images.datasets[split].split.images[index]
    try:
        picture = _read(images, source)
    except UnreadableImageError as error:
        return split, index, why(error, source)
    fitted = images.input.fit(picture)
    seconds = time.perf_counter() - started
    normal = images.input.normalize(fitted[None])
    return Seen(
        split,
        index,
        (picture.height, picture.width),
        fitted if keep else None,
        (float(normal.mean()), float(normal.square().mean())),
        bool((fitted.amin((1, 2)) == fitted.amax((1, 2))).all()),
        thumbnail(picture),
        seconds,
    )


def _read(images: Images, source: Path | np.ndarray) -> Image.Image:
    if isinstance(source, Path):
        return decode(source, images.input.white)
    return Image.fromarray(source)


def thumbnail(picture: Image.Image) -> np.ndarray:
    """What is left of a picture when size, coding, brightness and contrast are taken away."""
    small = picture.convert("L").resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX)
    values = np.asarray(small, np.float32).ravel()
    values = values - values.mean()
    return values / max(float(np.linalg.norm(values)), 1.0)
