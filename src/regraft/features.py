"""Features of a frozen trunk, computed once for all epochs instead of once per epoch."""

import math
from collections.abc import Iterator

import pytorch_lightning as pl
import torch
from torch import Tensor

from regraft.backbone import Backbone
from regraft.data.images import Images, SplitName
from regraft.head import Head

SPLITS: tuple[SplitName, ...] = ("train", "val", "test")
MAX_BYTES = 4 * 2**30


class Batches:
    """Batches of whole tensors by index, shuffled or in order: no loop over samples."""

    def __init__(
        self,
        features: Tensor,
        labels: Tensor,
        batch_size: int,
        *,
        shuffle: bool,
        passes: int = 1,  # over the data before this counts as an epoch
    ) -> None:
        self.features, self.labels = features, labels
        self.batch_size, self.shuffle, self.passes = batch_size, shuffle, passes

    def __len__(self) -> int:
        return len(self._sizes()) * self.passes

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        count = len(self.labels)
        for _ in range(self.passes):
            order = torch.randperm(count) if self.shuffle else torch.arange(count)
            for part in order.split(self._sizes()):
                yield self.features[part], self.labels[part]

    def _sizes(self) -> list[int]:
        full, rest = divmod(len(self.labels), self.batch_size)
        sizes = [self.batch_size] * full + ([rest] if rest else [])
        if self.shuffle and len(sizes) > 1 and rest == 1:
            sizes[-2:] = [sizes[-2] + 1]  # BatchNorm cannot learn from a batch of one
        return sizes


class Features(pl.LightningDataModule):
    """What the trunk gave for each split's images: (N, F), or (N, C, H, W) for a map."""

    def __init__(self, tensors: dict[str, tuple[Tensor, Tensor]], batch_size: int) -> None:
        super().__init__()
        self.tensors, self.batch_size = tensors, batch_size

    def only(self, indices: Tensor, passes: int) -> Batches:
        """These training images only, so many times over."""
        features, labels = (tensor[indices] for tensor in self.tensors["train"])
        return Batches(features, labels, self.batch_size, shuffle=True, passes=passes)

    def train_dataloader(self) -> Batches:
        return Batches(*self.tensors["train"], self.batch_size, shuffle=True)

    def val_dataloader(self) -> Batches:
        return Batches(*self.tensors["val"], 4096, shuffle=False)

    def predict_dataloader(self) -> list[Batches]:
        return [Batches(*self.tensors[split], 4096, shuffle=False) for split in ("val", "test")]


def fit_in_memory(backbone: Backbone, head: Head, images: Images) -> bool:
    """Whether the features of all images are small enough to be held."""
    shape = backbone.map_shape if head.takes == "map" else (backbone.out_features,)
    return sum(images.sizes.values()) * math.prod(shape or ()) * 4 <= MAX_BYTES


@torch.no_grad()
def compute(backbone: Backbone, head: Head, images: Images, trainer: pl.Trainer) -> Features:
    """Send every image through the trunk once, in evaluation mode; features end on the CPU."""
    device = trainer.strategy.root_device
    trainer.precision_plugin.convert_module(backbone.to(device)).eval()
    tensors: dict[str, tuple[Tensor, Tensor]] = {}
    for split in SPLITS:
        outputs, labels = [], []
        for inputs, targets in images.loader(split, shuffle=False):
            with trainer.precision_plugin.forward_context():
                normal = images.input.normalize(inputs.to(device))
                normal = trainer.precision_plugin.convert_input(normal)
                outputs.append(backbone(normal, head.takes).float().cpu())
            labels.append(targets)
        tensors[split] = (torch.cat(outputs), torch.cat(labels))
    return Features(tensors, images.batch_size)
