"""Whether an exported network says what the checkpoint's says: of real images, in batches."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from PIL import Image
from sklearn.datasets import load_sample_images
from torch import Tensor, nn

from regraft.data.transforms import InputConfig
from regraft.errors import RegraftError
from regraft.export.formats import Logits

TOLERANCE = 1e-4
BATCHES = (1, 2, 5)  # one image, two, and a number that no exporter has seen
CORNERS = ((0, 0), (0.3, 0), (0.6, 0.4), (0.1, 0.5))  # of the parts of each photograph, as shares
PART = 0.4


@dataclass(frozen=True)
class Parity:
    """The largest difference of a logit, and the largest logit, over so many images."""

    difference: float
    logit: float
    images: int

    @property
    def holds(self) -> bool:
        """Whether they are equal; a float32 has no more than seven digits, so that logits above 1
        may differ by as many of them."""
        return self.difference <= TOLERANCE * max(1.0, self.logit)  # False of NaN


def photographs(input: InputConfig) -> Tensor:
    """Parts of the two photographs that scikit-learn brings, normalised, (8, 3, H, W)."""
    pictures = [Image.fromarray(pixels) for pixels in load_sample_images().images]
    parts = [_part(picture, *corner) for picture in pictures for corner in CORNERS]
    return input.normalize(torch.stack([input.fit(part) for part in parts]))


def _part(picture: Image.Image, across: float, down: float) -> Image.Image:
    width, height = picture.size
    left, top = round(across * width), round(down * height)
    return picture.crop((left, top, left + round(PART * width), top + round(PART * height)))


def measure(network: nn.Module, images: Tensor, doors: Iterable[Logits]) -> Parity:
    """Compare a checkpoint's network with what was written of it, read through each of the doors.

    Raises RegraftError where one does not take a batch of another size.
    """
    largest = torch.zeros(())
    with torch.inference_mode():
        batches = images.split(list(BATCHES))
        expected = torch.cat([network(batch) for batch in batches])
        for door in doors:
            try:
                found = torch.cat([door(batch) for batch in batches])
            except Exception as error:  # every library has its own kinds
                raise RegraftError(
                    f"the exported network does not take batches of {BATCHES} images: "
                    f"{' '.join(str(error).split())[:200]}"
                ) from error
            # Not max(), which loses a NaN.
            largest = torch.maximum(largest, (found - expected).abs().max())
    return Parity(float(largest), float(expected.abs().max()), len(images))
