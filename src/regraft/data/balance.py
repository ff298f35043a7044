"""Classes of unequal size: how much rare ones are favoured."""

from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Ge, Le
from torch import Tensor

Power = Annotated[float, Ge(0), Le(1)]


@dataclass(frozen=True, kw_only=True)
class Balance:
    """Draws images, and weighs their losses, by their class's size to the power of minus so much.

    0 leaves a class its share, 1 gives all classes the same, 0.5 is half way (Mahajan et al. 2018).
    """

    draws: Power
    loss: Power

    def of_draws(self, labels: Tensor) -> Tensor | None:
        """How likely each image is drawn, float64 (N,), for int64 labels (N,); None: all alike."""
        if not self.draws:
            return None
        return labels.bincount().double().pow(-self.draws)[labels]

    def of_loss(self, labels: Tensor, num_classes: int) -> Tensor | None:
        """The weight of each class, float32 (C,), of mean 1 over the images; None: all alike."""
        if not self.loss:
            return None
        counts = labels.bincount(minlength=num_classes).double()
        weights = counts.clamp(min=1).pow(-self.loss)
        return (weights * counts.sum() / (weights * counts).sum()).to(torch.float32)
