"""A stack of fully connected sigmoid layers, as deep belief networks were (Hinton et al. 2006)."""

from typing import Any

import torch
from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from torch import Tensor, nn

SIZE = 16  # pixels; of grey ones, so 256 visible units
WIDTHS = (256, 256, 256)

default_cfgs = generate_default_cfgs(
    {
        "sigmoid_mlp": {
            "input_size": (3, SIZE, SIZE),
            "fixed_input_size": True,
            "mean": (0.0, 0.0, 0.0),
            "std": (1.0, 1.0, 1.0),
            "interpolation": "bilinear",
            "crop_pct": 1.0,
            "num_classes": 10,
            "first_conv": "layers.0.linear",
            "classifier": "fc",
        }
    }
)


class Layer(nn.Module):
    """Fully connected, then a sigmoid; of images the grey value of each pixel."""

    def __init__(self, units: int, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(units, width)
        # So that the first sigmoids are not all alike: nn.Linear's own spread is for rectifiers.
        nn.init.xavier_uniform_(self.linear.weight, gain=4.0)
        nn.init.zeros_(self.linear.bias)

    def units(self, x: Tensor) -> Tensor:
        """Rows (B, units) of rows, or of images (B, 3, H, W)."""
        return x.mean(1).flatten(1) if x.ndim == 4 else x

    def forward(self, x: Tensor) -> Tensor:
        return torch.sigmoid(self.linear(self.units(x)))


class SigmoidMLP(nn.Module):
    """timm's interface around the stack."""

    def __init__(
        self, num_classes: int = 10, in_chans: int = 3, img_size: Any = SIZE, **_: Any
    ) -> None:
        super().__init__()
        height, width = (img_size, img_size) if isinstance(img_size, int) else img_size
        units = (height * width, *WIDTHS)
        self.layers = nn.Sequential(
            *(Layer(low, high) for low, high in zip(units, WIDTHS, strict=False))
        )
        self.num_classes, self.num_features, self.head_hidden_size = (
            num_classes,
            units[-1],
            units[-1],
        )
        self.fc = nn.Linear(units[-1], num_classes) if num_classes else nn.Identity()

    def group_matcher(self, coarse: bool = False) -> dict[str, str]:
        """timm's question for the order of the parameters."""
        return {"blocks": r"^layers\.(\d+)"}

    def forward_features(self, x: Tensor) -> Tensor:
        """Images (B, 3, H, W) to the last layer's units (B, 256)."""
        return self.layers(x)

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """Logits, or what is before them."""
        return x if pre_logits else self.fc(x)

    def forward(self, x: Tensor) -> Tensor:
        return self.forward_head(self.forward_features(x))


@register_model
def sigmoid_mlp(pretrained: bool = False, **options: Any) -> SigmoidMLP:
    """Three layers of 256 sigmoid units on 16×16 grey pixels."""
    return build_model_with_cfg(SigmoidMLP, "sigmoid_mlp", pretrained, **options)
