"""Feeding what was computed once: batches by index out of memory maps, no loop over samples."""

from collections.abc import Iterator, Mapping

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.utils.data import BatchSampler, RandomSampler, SequentialSampler

from regraft.data.images import Batch, NeverAlone, SplitName

EVALUATED_AT_ONCE = 2**22  # values, so that a batch of maps is no larger than one of features


class Batches:
    """Batches of rows, shuffled or in order."""

    def __init__(
        self,
        rows: Tensor,
        labels: Tensor,
        batch_size: int,
        *,
        shuffle: bool,
        passes: int = 1,  # over the data before this counts as an epoch
    ) -> None:
        self.rows, self.labels, self.passes = rows, labels, passes
        indices = range(len(labels))
        # The samplers of the image loaders, so that the same seed draws the same batches.
        self._order: BatchSampler = (
            NeverAlone(RandomSampler(indices), batch_size, drop_last=False)
            if shuffle
            else BatchSampler(SequentialSampler(indices), batch_size, drop_last=False)
        )

    def __len__(self) -> int:
        return len(self._order) * self.passes

    def __iter__(self) -> Iterator[Batch]:
        for _ in range(self.passes):
            for part in self._order:
                indices = torch.tensor(part, device=self.rows.device)
                yield self.rows.index_select(0, indices), self.labels.index_select(0, indices)


class Features(pl.LightningDataModule):
    """What frozen stages gave for each split's images: rows (N, …) of half or full precision."""

    def __init__(self, tensors: Mapping[SplitName, Batch], batch_size: int) -> None:
        super().__init__()
        self.tensors, self.batch_size = tensors, batch_size

    def only(self, indices: Tensor, passes: int) -> Batches:
        """These training images only, so many times over."""
        rows, labels = (tensor[indices] for tensor in self.tensors["train"])
        return Batches(rows, labels, self.batch_size, shuffle=True, passes=passes)

    def train_dataloader(self) -> Batches:
        return Batches(*self.tensors["train"], self.batch_size, shuffle=True)

    def val_dataloader(self) -> Batches:
        return self._in_order("val")

    def predict_dataloader(self) -> list[Batches]:
        return [self._in_order(split) for split in ("val", "test")]

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        rows, labels = batch
        assert self.trainer is not None
        return self.trainer.precision_plugin.convert_input(rows.float()), labels

    def _in_order(self, split: SplitName) -> Batches:
        rows, labels = self.tensors[split]
        count = EVALUATED_AT_ONCE // max(1, rows[:1].numel())
        return Batches(rows, labels, min(max(count, self.batch_size), 4096), shuffle=False)
