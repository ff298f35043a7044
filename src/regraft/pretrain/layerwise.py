"""Greedy layer-wise pretraining, stage by stage from the lowest (Bengio et al. 2007).

Each stage learns as a denoising autoencoder (Vincent et al. 2008, 2010): what the frozen stages
below hand on is corrupted, the stage encodes it, and a small decoder, thrown away afterwards, has
to give back what it was. What the stages below give is computed once, so that each stage costs
only itself.
"""

import logging
import math
import time
from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
import torch.nn.functional as F
from annotated_types import Ge, Lt
from torch import Tensor, nn

from regraft import recipe
from regraft.backbone import Backbone
from regraft.batches import Batches
from regraft.cut import Slice, slices
from regraft.data.images import as_tensor
from regraft.errors import RegraftError
from regraft.features import Caching
from regraft.pretrain.method import Learned, Loader, Task, WithoutLabels
from regraft.store import NotStoredError

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Below:
    """What the frozen stages below give for the training images: kept, or made from the images.

    `rows` (N, …) are kept; without them each batch of images is sent through the `parts`.
    """

    parts: tuple[Slice, ...] = ()
    rows: Tensor | None = None

    def loader(self, task: Task, batch_size: int) -> Loader:
        """Shuffled batches, never a single row in one."""
        if self.rows is None:
            return task.images.loader("train", shuffle=True)
        return _batches(self.rows, batch_size, shuffle=True)

    @torch.no_grad()
    def given(self, x: Tensor, task: Task) -> Tensor:
        """What the next stages take, of a batch of the loader's."""
        if self.rows is not None:
            return x
        x = task.backbone.input.normalize(x)
        for part in self.parts:
            x = part.run(x)
        return x


@dataclass(frozen=True, kw_only=True)
class StageByStage(WithoutLabels):
    """Trains each stage on what the ones below it give; how, is told by `train`."""

    def kept(self, caching: Caching) -> str | None:
        return None if caching.use == "off" else caching.dtype

    def learn(self, task: Task) -> list[Learned]:
        backbone, found, below = task.backbone.to(task.device), [], Below()
        parts = slices(backbone)
        for part in parts:
            started = time.perf_counter()
            backbone.freeze(set(range(len(backbone.stages))) - set(part.stages))
            backbone.train()
            first, last = self.train(part, below, task)
            backbone.eval()
            if part is not parts[-1]:
                below = computed(part, below, task)
            seconds = round(time.perf_counter() - started, 3)
            found.append(Learned(named(part, backbone), first, last, seconds))
        if above := backbone.stages[parts[-1].stages.stop :]:
            names = " and ".join(stage.name for stage in above)
            _log.warning("pretrain=%s: %s lies above the map and learns nothing", self.name, names)
        return found

    @abstractmethod
    def train(self, part: Slice, below: Below, task: Task) -> tuple[float, float]:
        """Teach a part of the network; its first and last loss."""


@dataclass(frozen=True, kw_only=True)
class Layerwise(StageByStage):
    """Denoising autoencoders: `corruption` is the share of what a stage is given that is put out.

    Of images whole squares, `patch` pixels wide, since the neighbours would tell a single pixel.
    """

    corruption: Annotated[float, Ge(0), Lt(1)]
    patch: Annotated[int, Ge(1)]

    def refuse(self, backbone: Backbone) -> None:
        super().refuse(backbone)
        for part in slices(backbone):
            Decoder(part, backbone)

    def train(self, part: Slice, below: Below, task: Task) -> tuple[float, float]:
        """Teach it to reconstruct what it is given; the loss is a share of the channels' variance.

        So 1 is what one would have by saying nothing but each channel's mean.
        """
        decoder = Decoder(part, task.backbone).to(task.device)
        patch = 1 if below.parts else self.patch

        def loss_of(x: Tensor, _: Tensor) -> Tensor:
            x = below.given(x, task)
            target = F.batch_norm(decoder.taken.as_map(x), None, None, training=True)
            return F.mse_loss(decoder(part.run(corrupted(x, self.corruption, patch))), target)

        parameters = [*parameters_of(part, task.backbone), *decoder.parameters()]
        doing = f"pretraining {named(part, task.backbone)}"
        batches = below.loader(task, self.batch_size)
        return self.minimise(loss_of, parameters, batches, task, doing)


def corrupted(x: Tensor, share: float, patch: int) -> Tensor:
    """Masking noise: a share of the values is 0, or of images of the squares `patch` wide."""
    if patch == 1:
        return torch.where(torch.rand_like(x) < share, 0.0, x)
    height, width = x.shape[2:]
    coarse = x.new_empty(len(x), 1, math.ceil(height / patch), math.ceil(width / patch)).uniform_()
    fine = coarse.repeat_interleave(patch, 2).repeat_interleave(patch, 3)[..., :height, :width]
    return torch.where(fine < share, 0.0, x)


class Decoder(nn.Module):
    """One layer from what a part gives back to what it takes, both seen as maps (B, C, H, W).

    Raises RegraftError for tokens that lie in no square.
    """

    def __init__(self, part: Slice, backbone: Backbone) -> None:
        super().__init__()
        prefix = getattr(backbone.net, "num_prefix_tokens", 0)  # such as a class token
        of_images = part.stages.start == 0
        self.taken = Layout(backbone.is_nhwc and not of_images, prefix)
        self.given = Layout(backbone.is_nhwc, prefix)
        channels, *size = self.taken.as_map(torch.empty(1, *part.takes)).shape[1:]
        self.size = tuple(size)
        width, *size = self.given.as_map(torch.empty(1, *part.gives)).shape[1:]
        self.factor = max(math.ceil(a / b) for a, b in zip(self.size, size, strict=True))
        self.layer = nn.Conv2d(width, channels * self.factor**2, 3, padding=1)

    def forward(self, given: Tensor) -> Tensor:
        maps = F.pixel_shuffle(self.layer(self.given.as_map(given)), self.factor)
        return maps if maps.shape[2:] == self.size else F.interpolate(maps, self.size)


@dataclass(frozen=True)
class Layout:
    """How a network's activations lie."""

    channels_last: bool
    prefix: int  # tokens that stand for no place of the image

    def as_map(self, x: Tensor) -> Tensor:
        """Maps (B, C, H, W), or (B, H, W, C); tokens (B, T, C) of a square; or rows (B, C)."""
        if x.ndim == 3:
            patches = x[:, self.prefix :].transpose(1, 2)
            side = math.isqrt(patches.shape[2])
            if side**2 != patches.shape[2]:
                raise RegraftError(
                    "pretrain=layerwise: the tokens between this backbone's stages lie in no "
                    "square, so no decoder knows where they belong; choose pretrain=simclr"
                )
            return patches.unflatten(2, (side, side))
        if x.ndim == 2:
            return x[:, :, None, None]
        return x.permute(0, 3, 1, 2) if self.channels_last else x


def parameters_of(part: Slice, backbone: Backbone) -> list[nn.Parameter]:
    """Those of its stages, also of no module of theirs, as position embeddings are."""
    return [p for index in part.stages for p in backbone.stage_parameters(index).values()]


def named(part: Slice, backbone: Backbone) -> str:
    """The names of its stages."""
    return " and ".join(backbone.stages[index].name for index in part.stages)


def computed(part: Slice, below: Below, task: Task) -> Below:
    """What the stages up to this part give, once for every image; else how it is made each time.

    Leaves the backbone as it is: in evaluation mode.
    """
    above = Below((*below.parts, part))
    caching, images = task.caching, task.images
    if caching.use == "off":
        return above
    shape = (images.sizes["train"], *part.gives)
    stages = f"first {part.stages.stop} stages, pretraining"
    about = {"backbone": task.backbone.name, "stages": stages, "data": images.source.name}
    chunks = images.unchanged("train", _forward(part, below, task))
    try:
        caching.store.require_room(shape, caching.dtype)
        network = recipe.of_network(task.backbone, part.stages.stop, task.device)
        name = images.key("train", what="what a stage gives", dtype=caching.dtype, **network)
        rows = caching.store.compute(name, shape, caching.dtype, chunks, about)
    except NotStoredError as error:
        _log.warning("%s; the stages below are computed in every epoch", error)
        return above
    return Below(above.parts, as_tensor(rows))


@torch.no_grad()
def _forward(part: Slice, below: Below, task: Task) -> Iterator[np.ndarray]:
    """The activations in batches, from those below where they are kept."""
    if below.rows is None:
        loader: Loader = task.images.loader("train")
    else:
        loader = _batches(below.rows, task.images.batch_size, shuffle=False)
    for x, _ in loader:
        given = part.run(below.given(x.to(task.device), task))
        kept = given.to(getattr(torch, task.caching.dtype))
        if kept.isinf().any() and not given.isinf().any():
            raise NotStoredError("too large for half precision: features.dtype=float32")
        yield kept.cpu().numpy()


def _batches(rows: Tensor, batch_size: int, *, shuffle: bool) -> Batches:
    nothing = torch.zeros(len(rows), dtype=torch.int64)
    return Batches(rows, nothing, batch_size, shuffle=shuffle)
