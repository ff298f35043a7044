"""A backbone cut in two: leading stages, whose output can be stored if frozen, and the rest."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from regraft.backbone import Backbone, Output
from regraft.errors import RegraftError, first_line
from regraft.trace import Boundary, Program, Trace, trace

Part = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Cut:
    """Two parts of a backbone: `suffix(prefix(images))` is `backbone(images, takes)`.

    They call the modules of `backbone.net` and own no tensor, so to train, freeze, move or load
    the backbone is to do it to them. The prefix is a pure function of the images once its stages
    are frozen, and counts them as the backbone does.
    """

    stages: int  # the prefix is these leading stages, whole, and no parameter of another
    prefix: Part  # normalised images (B, 3, H, W) -> activations (B, *shape)
    suffix: Part  # activations (B, *shape), which it leaves as they are -> what the head takes
    shape: tuple[int, ...]  # of one image's activation
    note: str | None  # why `stages` is fewer than asked for


@dataclass(frozen=True)
class Slice:
    """Some stages in a row: what the ones below hand on -> what they hand on themselves.

    It calls the modules of `backbone.net` and owns no tensor, and counts no images.
    """

    stages: range
    run: Part  # activations (B, *takes), which it leaves as they are -> (B, *gives)
    takes: tuple[int, ...]
    gives: tuple[int, ...]


def cut(backbone: Backbone, stages: int, takes: Output) -> Cut:
    """Cut above the first `stages` stages, or at the nearest boundary below that can be cut.

    A boundary can be cut if a single tensor crosses it, with a row per image. If none can, or
    torch.fx cannot trace the network, 0 stages are cut off: the activation is the image. Every
    cut is tried on two images before it is returned. Drop stages first: a cut does not follow.
    """
    mode, count = backbone.training, backbone.images_forwarded
    try:
        with torch.no_grad():
            return _cut(backbone.eval(), stages, takes)
    finally:
        backbone.images_forwarded = count
        backbone.train(mode)


def _cut(backbone: Backbone, stages: int, takes: Output) -> Cut:
    whole = partial(backbone, takes=takes)
    images = _two_images(backbone)
    expected = whole(images)
    if not any(backbone.stage_parameters(i) for i in range(stages, len(backbone.stages))):
        return Cut(stages, whole, _same, tuple(expected.shape[1:]), None)

    note = f"what stage{stages - 1} hands on is not a single tensor that torch.fx can follow"
    try:
        for boundary in trace(backbone, images[:1]).boundaries(stages):
            found = _try(backbone, boundary, takes, images, expected)
            if found is not None:
                return found if found.stages == stages else replace(found, note=note)
    except Exception as error:  # the network's own code raises whatever it likes on a proxy
        note = f"torch.fx cannot trace {backbone.name}: {first_line(error)}"
    return Cut(0, _same, whole, tuple(images.shape[1:]), note if stages else None)


def slices(backbone: Backbone) -> tuple[Slice, ...]:
    """The network up to what `forward_features` gives, in as many parts as it can be cut into.

    One after the other they are `forward_features`; what lies above it is in none. Each has one
    stage, but for stages with more than a single tensor between them. Raises RegraftError where
    torch.fx cannot trace the network, or finds no place to cut it.
    """
    mode = backbone.training
    images = _two_images(backbone)
    try:
        with torch.no_grad():
            found = trace(backbone, images[:1])
            bounds = _bounds(backbone, found, images)
            ends: list[Boundary | None] = [*bounds, None]
            counts = [0, *(bound.stages for bound in bounds), backbone.map_stages]
            made, values = [], backbone.arranged(images)
            for number, (lower, upper) in enumerate(zip([None, *bounds], ends, strict=True)):
                run = _Middle(backbone, found.between(lower, upper), _layout(values))
                after = run(values)
                stages = range(counts[number], counts[number + 1])
                made.append(Slice(stages, run, tuple(values.shape[1:]), tuple(after.shape[1:])))
                values = after
            if not _close(values, backbone.net.forward_features(images)):
                raise NotImplementedError("its parts do not give what the whole does")
    except Exception as error:  # the network's own code raises whatever it likes on a proxy
        raise RegraftError(
            f"{backbone.name} cannot be split into its stages: {first_line(error)}"
        ) from error
    finally:
        backbone.train(mode)
    return tuple(made)


def _bounds(backbone: Backbone, found: Trace, images: Tensor) -> list[Boundary]:
    """Of each number of stages that can be cut off, the highest place where a row per image
    crosses."""
    bounds: dict[int, Boundary] = {}
    for bound in found.boundaries(backbone.map_stages - 1):
        if bound.stages not in bounds:
            value = bound.below(backbone.net, images)
            if isinstance(value, Tensor) and value.shape[:1] == images.shape[:1]:
                bounds[bound.stages] = bound
    if not bounds:
        raise NotImplementedError("no single tensor lies between any two of them")
    return [bounds[count] for count in sorted(bounds)]


@dataclass(frozen=True)
class _Middle:
    backbone: Backbone
    program: Program
    layout: torch.memory_format

    def __call__(self, activations: Tensor) -> Tensor:
        # A copy, since layers that work in place would change what is stored.
        activations = activations.clone(memory_format=self.layout)
        value: Tensor = self.program(self.backbone.net, activations)
        return value


def _try(
    backbone: Backbone, boundary: Boundary, takes: Output, images: Tensor, expected: Tensor
) -> Cut | None:
    """The cut at this boundary, if it stores one tensor and changes nothing."""
    prefix = _Prefix(backbone, boundary.below)
    activations = prefix(images)
    if not isinstance(activations, Tensor) or activations.shape[:1] != images.shape[:1]:
        return None
    suffix = _Suffix(backbone, boundary.above, takes, _layout(activations))
    if not _close(suffix(activations), expected):
        return None
    return Cut(boundary.stages, prefix, suffix, tuple(activations.shape[1:]), None)


@dataclass(frozen=True)
class _Prefix:
    backbone: Backbone
    program: Program

    def __call__(self, images: Tensor) -> Tensor:
        self.backbone.count(images)
        return self.program(self.backbone.net, self.backbone.arranged(images))


@dataclass(frozen=True)
class _Suffix:
    backbone: Backbone
    program: Program
    takes: Output
    layout: torch.memory_format

    def __call__(self, activations: Tensor) -> Tensor:
        # A copy, since layers that work in place would change what is stored.
        activations = activations.clone(memory_format=self.layout)
        return self.backbone.read(self.program(self.backbone.net, activations), self.takes)


def _same(tensor: Tensor) -> Tensor:
    return tensor


def _two_images(backbone: Backbone) -> Tensor:
    """Two images (2, 3, H, W) that differ, without a draw from the global random numbers."""
    shape = (2, 3, *backbone.input.size)
    values = torch.arange(math.prod(shape)).sin().view(shape)
    return values.to(next(backbone.parameters()))


def _layout(activations: Tensor) -> torch.memory_format:
    channels_last = (
        activations.ndim == 4
        and activations.is_contiguous(memory_format=torch.channels_last)
        and not activations.is_contiguous()
    )
    return torch.channels_last if channels_last else torch.contiguous_format


def _close(found: Tensor, expected: Tensor) -> bool:
    tolerance = 1e-3 * expected.abs().max().item()
    return torch.allclose(found, expected, rtol=1e-3, atol=tolerance, equal_nan=True)
