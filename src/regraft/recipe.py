"""What activations depend on, as a key: with another value of any of it, they are unknown."""

import hashlib
from dataclasses import asdict
from importlib import metadata
from typing import Any

import pytorch_lightning as pl
import torch

from regraft.backbone import Backbone
from regraft.cut import Cut
from regraft.data.transforms import READER, InputConfig
from regraft.fingerprint import key

LIBRARIES = ("torch", "torchvision", "timm", "pillow", "numpy")  # whose versions change numbers
LAYOUT = 1  # of what is stored; another number makes all that is stored unknown


def key_of(common: dict[str, Any], images: str, augment: Any, dtype: str) -> str:
    """The key of a split's activations, from a fingerprint of its images and what changes them."""
    return key(**common, images=images, augment=augment, dtype=dtype)


def of_all_splits(
    cut: Cut, backbone: Backbone, input: InputConfig, trainer: pl.Trainer
) -> dict[str, Any]:
    """What activations depend on besides the images: another value of any is another key."""
    return {
        "layout": LAYOUT,
        "reader": READER,
        "network": backbone.name,
        "stages": [stage.name for stage in backbone.stages[: cut.stages]],
        "weights": weights_hash(backbone, cut.stages),
        "activation": list(cut.shape),
        "dropped": [i for i in range(len(backbone.stages)) if not backbone.stage_parameters(i)],
        "input": asdict(input),
        "precision": trainer.precision,
        "device": trainer.strategy.root_device.type,
        "versions": {name: metadata.version(name) for name in LIBRARIES},
    }


def weights_hash(backbone: Backbone, stages: int) -> str:
    """SHA-256 over names, shapes, types and bytes of the first stages' parameters and buffers.

    Also of buffers that no state dict holds.
    """
    digest = hashlib.sha256()
    net = backbone.net
    state = dict(net.named_parameters(remove_duplicate=False))
    state |= dict(net.named_buffers(remove_duplicate=False))
    for stage in backbone.stages[:stages]:
        for name in stage.tensors:
            if name in state:
                tensor = state[name].detach().cpu().contiguous()
                digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
                digest.update(tensor.reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()
