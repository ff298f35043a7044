"""The embedded backbone: a small timm ResNet whose weights lie beside this file.

`fractal_resnet.md` says how they were made and what they are worth.
"""

from pathlib import Path
from typing import Any

import numpy as np
from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from timm.models.resnet import BasicBlock, ResNet

import regraft.embedded.sigmoid_mlp  # noqa: F401, registers it with timm

WEIGHTS = Path(__file__).parent / "fractal_resnet.safetensors"
SOURCE = WEIGHTS.with_name("fractal_resnet_source.npz")

SHAPE: dict[str, Any] = {"channels": (24, 48, 96, 160), "stem_width": 8, "stem_type": "deep"}
# The same network by a name that timm has where there is no regraft, and the options that it takes.
IN_TIMM = {"fractal_resnet": ("resnet10t", {**SHAPE, "avg_down": False})}

default_cfgs = generate_default_cfgs(
    {
        "fractal_resnet": {
            "file": str(WEIGHTS),
            "input_size": (3, 64, 64),
            "pool_size": (2, 2),
            "mean": (0.5, 0.5, 0.5),
            "std": (0.27, 0.27, 0.27),
            "interpolation": "bilinear",
            "crop_pct": 1.0,
            "num_classes": 100,
            "first_conv": "conv1.0",
            "classifier": "fc",
            "license": "apache-2.0",
        }
    }
)


def source_statistics(sha256: str) -> tuple[np.ndarray, np.ndarray, int] | None:
    """Of the images that the weights with this digest were trained on: mean (D,) and covariance
    (D, D) of their pooled features, and how many they were; None for other weights."""
    with np.load(SOURCE, allow_pickle=False) as file:
        if str(file["weights"]) != sha256:
            return None
        mean, covariance = (file[key].astype(np.float64) for key in ("mean", "covariance"))
        return mean, covariance, int(file["images"])


@register_model
def fractal_resnet(pretrained: bool = False, **options: Any) -> ResNet:
    """ResNet-10 of 0.56 million parameters for images of 64 pixels."""
    layers: dict[str, Any] = {"block": BasicBlock, "layers": (1, 1, 1, 1), **SHAPE}
    return build_model_with_cfg(ResNet, "fractal_resnet", pretrained, **layers, **options)
