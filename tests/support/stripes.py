"""Images that most trainings of the tests are about: two classes that a formula draws."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import shared

if TYPE_CHECKING:  # whoever only asks the program for help imports nothing heavy
    import numpy as np

# What a training needs that is about anything but accuracy: 24 images of two classes, three steps.
TINY = ("data=image_folder", "data.root={stripes}", "backbone.size=32", "loader.batch_size=8")
TINY += ("trainer.max_epochs=1", "logger=none")


def stripes() -> Path:
    """Two classes, train, val and test: waves, stronger across or down; 32 pixels, nothing random.

    12, 4 and 4 images of each class; a formula gives the same pixels on every machine.
    """
    return shared.once("images", (), _draw) / "stripes"  # as the data is called


def filled(word: str) -> str:
    """A word with the folder in the place of `{stripes}`."""
    return word.replace("{stripes}", str(stripes())) if "{stripes}" in word else word


def _draw(place: Path) -> None:
    from PIL import Image

    folder = place / "stripes"
    for split, count in (("train", 12), ("val", 4), ("test", 4)):
        for turned, name in enumerate(("across", "down")):
            (folder / split / name).mkdir(parents=True)
            for number in range(count):
                path = folder / split / name / f"{number:02}.png"
                Image.fromarray(_waves(number, split, turned)).save(path)
                os.utime(path, (0, 0))  # long ago: a file that was just written is read twice


def _waves(number: int, split: str, turned: int) -> "np.ndarray":
    """A picture (32, 32, 3) whose length of wave and colour depend on its number."""
    import numpy as np

    shift = {"train": 0, "val": 3, "test": 5}[split]
    place = np.arange(32) * (0.35 + 0.06 * ((number * 5 + shift) % 12)) + number
    strong, weak = 60 * np.sin(place)[:, None], 48 * np.sin(place * 1.3 + shift)[None]
    grain = (np.arange(32)[:, None] * 7 + np.arange(32)[None] * (11 + number)) % 23
    colour = np.array([40 * (number % 3), 20 * (number % 5), 10 * (number % 7)]) + 90
    picture = np.clip(np.round((strong + weak + grain)[..., None] + colour), 0, 255)
    picture = picture.transpose(1, 0, 2) if turned else picture
    return np.ascontiguousarray(picture.astype(np.uint8))
