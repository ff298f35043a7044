"""What activations depend on besides the images: with another value of any of it, another key."""

import hashlib
from typing import Any

import torch

from regraft.backbone import Backbone


def of_network(backbone: Backbone, stages: int, device: torch.device) -> dict[str, Any]:
    """What the output of the first stages depends on, as plain data for `Images.key`."""
    return {
        "network": backbone.name,
        "stages": [stage.name for stage in backbone.stages[:stages]],
        "weights": weights_hash(backbone, stages),
        "dropped": [i for i in range(len(backbone.stages)) if not backbone.stage_parameters(i)],
        "device": device.type,
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
