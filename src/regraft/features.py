"""Features of a frozen trunk, computed once for all epochs instead of once per epoch."""

import math
from collections.abc import Iterator

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.utils.data import BatchSampler, RandomSampler, SequentialSampler

from regraft.backbone import Backbone
from regraft.data.images import Images, NeverAlone, SplitName
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
        self.features, self.labels, self.passes = features, labels, passes
        rows = range(len(labels))
        # The samplers of the image loaders, so that the same seed draws the same batches.
        self._order: BatchSampler = (
            NeverAlone(RandomSampler(rows), batch_size, drop_last=False)
            if shuffle
            else BatchSampler(SequentialSampler(rows), batch_size, drop_last=False)
        )

    def __len__(self) -> int:
        return len(self._order) * self.passes

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for _ in range(self.passes):
            for part in self._order:
                yield self.features[part], self.labels[part]


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
