"""The test images that a model was most sure of and wrong about, small, in one file of the run.

They are kept by the job, as the data may be gone when somebody wants to see them.
"""

import base64
import binascii
import io
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from regraft.paths import write_whole

FILE = "mistakes.json"
MOST = 16
SIDE = 96  # pixels of a thumbnail's longer side
QUALITY = 80  # of JPEG: 1 to 4 kB each
_JPEG = b"\xff\xd8\xff"


class Mistake(NamedTuple):
    """A test image by its place in the split, true and predicted class, and how sure it was."""

    place: int
    name: str
    true: str
    predicted: str
    confidence: float


class Shown(NamedTuple):
    """A mistake as it is read back; `image` is a JPEG in base64, None if it is none."""

    name: str
    true: str
    predicted: str
    confidence: float
    image: str | None


def write(path: Path, mistakes: Iterable[tuple[Mistake, np.ndarray]]) -> None:
    """Write them with their images, pixels uint8 (H, W, 3) as the network was given them, but
    smaller."""
    rows = [
        {
            "name": one.name,
            "true": one.true,
            "predicted": one.predicted,
            "confidence": one.confidence,
            "image": _thumbnail(pixels),
        }
        for one, pixels in mistakes
    ]
    write_whole(path, json.dumps(rows).encode())


def read(path: Path) -> list[Shown] | None:
    """What `write` wrote; None where it is missing or damaged."""
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
        return [_row(row) for row in rows[:MOST]]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def _row(row: dict[str, Any]) -> Shown:
    name, true, predicted = (str(row[key]) for key in ("name", "true", "predicted"))
    return Shown(name, true, predicted, float(row["confidence"]), _checked(row["image"]))


def _checked(image: Any) -> str | None:
    """Base64 of a JPEG as we write it; None for whatever else somebody has put there."""
    try:
        content = base64.b64decode(image, validate=True)
    except (binascii.Error, TypeError, ValueError):
        return None
    return base64.b64encode(content).decode() if content.startswith(_JPEG) else None


def _thumbnail(pixels: np.ndarray) -> str:
    """A JPEG in base64 of pixels uint8 (H, W, 3)."""
    image, content = Image.fromarray(pixels), io.BytesIO()
    image.thumbnail((SIDE, SIDE))
    image.save(content, "JPEG", quality=QUALITY)
    return base64.b64encode(content.getvalue()).decode()
