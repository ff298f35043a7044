"""What a picture's file holds."""

import numpy as np
from PIL import Image


def pixels(path):
    with Image.open(path) as image:
        assert image.format == "PNG"
        return np.asarray(image.convert("L"))
