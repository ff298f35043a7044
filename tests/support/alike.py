"""Whether what two checkpoints hold is the same to the bit."""

from typing import Any

import torch


def alike(a: Any, b: Any) -> bool:
    """Tensors by type and bytes, in dictionaries and lists of any depth; all else by value."""
    if isinstance(a, torch.Tensor):
        return a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(alike(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(alike, a, b))
    return bool(a == b)
