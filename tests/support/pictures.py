"""What a picture's file holds."""

from pathlib import Path

import numpy as np
from PIL import Image


def pixels(path):
    with Image.open(path) as image:
        assert image.format == "PNG"
        return np.asarray(image.convert("L"))


def folder_of_images(root: Path, **counts: int) -> Path:
    """So many images of each class, in a folder each, of colours that differ."""
    for name, count in counts.items():
        (root / name).mkdir(parents=True)
        for index in range(count):
            image = Image.new("RGB", (40, 30), (index * 9 % 255, 80, 120))
            image.save(root / name / f"{index}.png")
    return root
