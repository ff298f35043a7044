"""timm's networks by name: built with random weights, the input they want, the sizes they take."""

from collections.abc import Callable, Iterable
from typing import Any

import timm
import torch
from timm.data import resolve_model_data_config
from timm.models import get_deprecated_models
from torch import nn

import regraft.embedded  # noqa: F401, registers fractal_resnet with timm
from regraft.data.transforms import InputConfig
from regraft.errors import RegraftError, did_you_mean

CHANNELS_THAT_ARE_SAFE = 16  # corrupted memory was seen with 2 to 12


def create(name: str, size: int | None, *, num_classes: int = 0, **options: Any) -> nn.Module:
    """timm's model of this name with random weights; without classes, it has no classifier.

    Raises RegraftError for an unknown name, and for one that cannot be built.
    """
    refuse_unknown(name)
    try:
        return _built(name, size, num_classes=num_classes, **options)
    except Exception as error:  # timm raises whatever the model's constructor raises
        if size and (sizes := sizes_that_run(name, size)):
            raise refused_size(name, (size, size), sizes) from error
        raise RegraftError(f"backbone.name={name}: timm cannot build it: {error}") from error


def refuse_unknown(name: str) -> None:
    """Raises RegraftError for a name that timm does not have, with the nearest that it has."""
    architecture = name.partition(".")[0]
    if not timm.is_model(architecture):
        architecture = architecture.rpartition("/")[2]  # as in hf-hub:timm/<name>
        if timm.is_model(architecture):
            short = name.rpartition("/")[2]
            raise RegraftError(f"backbone.name={name}: give timm's own name, {short}")
        hint = did_you_mean(architecture, timm.list_models())
        raise RegraftError(f"backbone.name={name}: timm has no such model{hint}")
    if architecture in (renamed := get_deprecated_models()):  # of which timm knows no size
        now = renamed[architecture]
        hint = f"timm has renamed it: give {now}" if now else "timm has removed it"
        raise RegraftError(f"backbone.name={name}: {hint}")
    try:
        timm.get_pretrained_cfg(name, allow_unregistered=True)
    except RuntimeError as error:
        tags = [known.partition(".")[2] for known in timm.list_pretrained(f"{architecture}.*")]
        hint = did_you_mean(name.partition(".")[2], tags)
        there = f" (there are {', '.join(tags)})" if tags else ""
        raise RegraftError(
            f"backbone.name={name}: {architecture} has no such tag{hint}{there}"
        ) from error


def _built(name: str, size: int | None, **options: Any) -> nn.Module:
    # Only networks with position embeddings or windows need to know their input size.
    if size and has_a_size(name):
        options["img_size"] = size
    return timm.create_model(name, pretrained=False, **options)


def has_a_size(name: str) -> bool:
    """Whether the network is built for images of one size, and then takes no others."""
    config = timm.get_pretrained_cfg(name, allow_unregistered=True)
    return bool(config and config.fixed_input_size)


def refused_size(name: str, size: tuple[int, ...], sizes: Iterable[int]) -> RegraftError:
    """The error about images of a size (height, width) that a network cannot take."""
    height, width = size
    return RegraftError(
        f"backbone.size={height}: {name} cannot take images of {width}×{height} pixels; these "
        f"work: {', '.join(map(str, sizes))} (null: the size of its weights)"
    )


def sizes_that_run(name: str, near: int) -> list[int]:
    """Image sizes that a network takes: its own, small ones, and multiples of 32, 28 and 24 near
    another."""

    def run(net: Any, size: int) -> None:
        features = net.eval().forward_features(torch.zeros(1, 3, size, size))
        net.forward_head(features, pre_logits=True)

    steps = {step * (near // step + up) for step in (32, 28, 24) for up in (0, 1)}
    return sizes_that_work(name, [64, 96, *(size for size in steps if size >= 16)], run)


def sizes_that_work(
    name: str, sizes: Iterable[int], use: Callable[[nn.Module, int], object]
) -> list[int]:
    """The network's own image size and those of `sizes` at which its `use` raises nothing.

    Networks are built without values, on the device "meta".
    """
    config, found = timm.get_pretrained_cfg(name, allow_unregistered=True), []
    own = [config.input_size[1]] if config else []
    for size in sorted({*own, *sizes}):
        try:
            with torch.device("meta"), torch.no_grad():
                use(_built(name, size, num_classes=0), size)
        except Exception:  # whatever the network's own code raises
            continue
        found.append(size)
    return found


def corrupts_memory(net: nn.Module) -> bool:
    """Whether it has a convolution whose backward pass writes where it should not, with channels
    last on the CPU: 1×1 with a stride, on a few channels, in torch 2.15 (oneDNN)."""
    return any(
        isinstance(module, nn.Conv2d)
        and module.kernel_size == (1, 1)
        and max(module.stride) > 1
        and module.in_channels < CHANNELS_THAT_ARE_SAFE
        for module in net.modules()
    )


def input_config(net: Any, size: int | None) -> InputConfig:
    config = resolve_model_data_config(net)
    try:
        return InputConfig(
            size=(size, size) if size else tuple(config["input_size"][1:]),
            mean=tuple(config["mean"]),
            std=tuple(config["std"]),
            interpolation=config["interpolation"],
            crop_pct=config["crop_pct"],
            crop_mode=config["crop_mode"],
        )
    except ValueError as error:
        raise RegraftError(f"backbone: {error}; choose another backbone") from error
