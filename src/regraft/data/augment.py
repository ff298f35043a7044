"""Random changes of training images, made on whole batches where the network is."""

from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Ge, Gt, Le
from torch import Tensor
from torchvision.transforms import v2

Share = Annotated[float, Ge(0), Le(1)]


@dataclass(frozen=True, kw_only=True)
class Light:
    """What keeps most pictures what they are: crops, flips and colours a little different."""

    scale: Annotated[float, Gt(0), Le(1)]
    flip: Share
    jitter: Share

    def __call__(self, images: Tensor) -> Tensor:
        """Uint8 (B, 3, H, W), each changed in its own way, of the same size."""
        change = v2.Compose(
            [
                v2.RandomResizedCrop(tuple(images.shape[-2:]), (self.scale, 1.0), antialias=True),
                v2.RandomHorizontalFlip(self.flip),
                v2.ColorJitter(self.jitter, self.jitter, self.jitter),
            ]
        )
        # One by one: torchvision draws a single set of numbers for all that it is given at once.
        return torch.stack([change(image) for image in images])


def none() -> None:
    """Leave training images as they are."""
