"""A head of our own: directions count, lengths do not."""

from typing import Annotated

import torch
from annotated_types import Gt
from torch import Tensor, nn
from torch.nn import functional as F

from regraft.head import Head


class Cosine(nn.Module):
    """`scale` times the cosine between features (B, F) and each class's direction: (B, classes)."""

    def __init__(self, features: int, num_classes: int, scale: float) -> None:
        super().__init__()
        self.directions = nn.Parameter(torch.randn(num_classes, features) / features**0.5)
        self.scale = scale

    def forward(self, features: Tensor) -> Tensor:
        return self.scale * F.linear(F.normalize(features), F.normalize(self.directions))


def cosine(
    features: int,
    map_shape: tuple[int, ...] | None,
    num_classes: int,
    *,
    scale: Annotated[float, Gt(0)],
) -> Head:
    """A linear layer on features of unit length (Gidaris & Komodakis, 2018).

    Features of a frozen trunk share a large mean, which would be all that their directions tell:
    it is taken off first.
    """
    return Head(
        "pooled", nn.BatchNorm1d(features, affine=False), Cosine(features, num_classes, scale)
    )
