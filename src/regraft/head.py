"""What is grafted onto the trunk: from features to logits."""

from collections.abc import Callable
from typing import Annotated

from annotated_types import Ge, Gt, Lt
from torch import Tensor, nn

from regraft.backbone import Output
from regraft.errors import RegraftError

Width = Annotated[int, Gt(0)]
Shape = tuple[int, ...]  # channels, height, width of the feature map
Rate = Annotated[float, Ge(0), Lt(1)]


class Head(nn.Module):
    """Layers on top of the trunk, and which of its outputs they take.

    "pooled" features are (B, F), the "map" is (B, C, H, W); logits are (B, num_classes).
    """

    def __init__(self, takes: Output, *layers: nn.Module) -> None:
        super().__init__()
        self.takes = takes
        self.layers = nn.Sequential(*layers)

    def forward(self, features: Tensor) -> Tensor:
        return self.layers(features)


def as_head(made: nn.Module) -> Head:
    """A head as it is; another module as one that takes what its `takes` says, else the pooled
    features. So a class of a team's own need not know of regraft.
    """
    return made if isinstance(made, Head) else Head(getattr(made, "takes", "pooled"), made)


def made_by(make: Callable[[], nn.Module]) -> Head:
    """What a factory makes, as a head."""
    return as_head(make())


def linear(
    features: int, map_shape: Shape | None, num_classes: int, *, dropout: Rate = 0.0
) -> Head:
    """One linear layer on the pooled features."""
    return Head("pooled", nn.Dropout(dropout), _logits(features, num_classes))


def mlp(
    features: int, map_shape: Shape | None, num_classes: int, *, hidden: Width, dropout: Rate = 0.0
) -> Head:
    """A hidden layer first, for features that are not linearly separable.

    The features are normalised without a learned scale: frozen trunks differ by orders of
    magnitude in theirs, and one learning rate has to fit them all.
    """
    return Head(
        "pooled",
        nn.BatchNorm1d(features, affine=False),
        nn.Linear(features, hidden),
        nn.GELU(),
        nn.Dropout(dropout),
        _logits(hidden, num_classes),
    )


def conv_mlp(
    features: int,
    map_shape: Shape | None,
    num_classes: int,
    *,
    width: Width,
    hidden: Width,
    dropout: Rate = 0.0,
) -> Head:
    """New convolutions on the feature map at the cut, then an MLP.

    Raises RegraftError for a trunk that ends in tokens, or in several maps.
    """
    if map_shape is None:
        raise RegraftError(
            "head=conv_mlp needs one feature map, but this backbone ends in tokens or in several "
            "maps; use head=mlp or another convolutional backbone"
        )
    return Head(
        "map",
        nn.Conv2d(map_shape[0], width, kernel_size=3, padding=1, bias=False),
        nn.BatchNorm2d(width),
        nn.GELU(),
        nn.Conv2d(width, width, kernel_size=3, padding=1, bias=False),
        nn.BatchNorm2d(width),
        nn.GELU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(width, hidden),
        nn.GELU(),
        nn.Dropout(dropout),
        _logits(hidden, num_classes),
    )


def _logits(features: int, num_classes: int) -> nn.Linear:
    layer = nn.Linear(features, num_classes)
    nn.init.zeros_(layer.weight)  # the first loss is exactly log(num_classes): a free check
    nn.init.zeros_(layer.bias)
    return layer
