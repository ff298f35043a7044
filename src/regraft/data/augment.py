"""Random changes of training images, made in batches where the network is."""

from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Ge, Gt, Le
from torch import Tensor
from torchvision.transforms import InterpolationMode, v2

from regraft.errors import RegraftError

CHANGES = 1  # of how images are changed; with another number, no kept version is known
Share = Annotated[float, Ge(0), Le(1)]
_GREY = 128  # what is drawn where nothing is left of a picture
_WEIGHTS = (0.2989, 0.587, 0.1141)  # of red, green and blue in grey
_TOGETHER = 8  # images coloured at once: a processor's cache holds no more


@dataclass(frozen=True, kw_only=True)
class Augment:
    """A random crop and flip, and what an option adds to them."""

    scale: Annotated[float, Gt(0), Le(1)]
    flip: Share

    def __call__(self, images: Tensor) -> Tensor:
        """Uint8 (B, 3, H, W), each changed in its own way, of the same size."""
        change = v2.Compose(
            [
                v2.RandomResizedCrop(tuple(images.shape[-2:]), (self.scale, 1.0), antialias=True),
                v2.RandomHorizontalFlip(self.flip),
                *self._more(),
            ]
        )
        # One by one: torchvision draws a single set of numbers for all that it is given at once.
        return torch.stack([change(image) for image in images])

    def _more(self) -> list[v2.Transform]:
        return []


@dataclass(frozen=True, kw_only=True)
class Light(Augment):
    """What keeps most pictures what they are: crops, flips and colours a little different.

    Colours are those of torchvision's ColorJitter, but rounded and cut off once, not after each of
    its three changes, whose order then makes no difference: they are one matrix for each image.
    """

    jitter: Share

    def __call__(self, images: Tensor) -> Tensor:
        images = super().__call__(images)
        if not self.jitter:
            return images
        return torch.cat([self._coloured(part) for part in images.split(_TOGETHER)])

    def _coloured(self, images: Tensor) -> Tensor:
        """Blended with black, with its mean grey and with each pixel's grey, as drawn for each."""
        low, high = 1 - self.jitter, 1 + self.jitter
        draws = torch.empty(3, len(images), 1, 1).uniform_(low, high)
        brightness, contrast, saturation = draws.to(images.device, non_blocking=True)
        grey = torch.tensor(_WEIGHTS, device=images.device).expand(3, 3)
        colours = images.flatten(2).float()
        matrix = brightness * contrast * grey.lerp(torch.eye(3, device=images.device), saturation)
        mean = grey @ colours.mean(2, keepdim=True)
        mixed = torch.baddbmm(brightness * (1 - contrast) * mean, matrix, colours)
        return mixed.round_().clamp_(0, 255).to(torch.uint8).view_as(images)


@dataclass(frozen=True, kw_only=True)
class Trivial(Augment):
    """TrivialAugment (Müller & Hutter 2021): one change of any kind and strength per picture."""

    def _more(self) -> list[v2.Transform]:
        return [v2.TrivialAugmentWide(interpolation=InterpolationMode.BILINEAR, fill=_GREY)]


@dataclass(frozen=True, kw_only=True)
class Strong(Augment):
    """RandAugment (Cubuk et al. 2020) and random erasing (Zhong et al. 2017)."""

    operations: Annotated[int, Ge(0)]
    magnitude: Annotated[int, Ge(0), Le(30)]
    erase: Share

    def _more(self) -> list[v2.Transform]:
        bilinear = InterpolationMode.BILINEAR
        return [
            v2.RandAugment(self.operations, self.magnitude, interpolation=bilinear, fill=_GREY),
            v2.RandomErasing(self.erase, value=_GREY),
        ]


@dataclass(frozen=True, kw_only=True)
class Mixup(Augment):
    """Mixup (Zhang et al. 2018) or CutMix (Yun et al. 2019), drawn for each batch; 0 is never."""

    mixup: Annotated[float, Ge(0)]
    cutmix: Annotated[float, Ge(0)]

    def __post_init__(self) -> None:
        if not self.mixup and not self.cutmix:
            raise RegraftError(
                "augment.mixup=0 and augment.cutmix=0 mix nothing; use augment=light"
            )

    def mix(self, images: Tensor, labels: Tensor, num_classes: int) -> tuple[Tensor, Tensor]:
        """Mixed images (B, 3, H, W), and of labels (B,) the shares of each class (B, C)."""
        ways: list[v2.Transform] = []
        if self.mixup:
            ways.append(v2.MixUp(alpha=self.mixup, num_classes=num_classes))
        if self.cutmix:
            ways.append(v2.CutMix(alpha=self.cutmix, num_classes=num_classes))
        mixed, shares = v2.RandomChoice(ways)(images, labels)
        return mixed, shares


def none() -> None:
    """Leave training images as they are."""
