"""Feeding what was computed once: batches by index out of memory maps, no loop over samples."""

import math
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain, islice

import pytorch_lightning as pl
import torch
from torch import Tensor

from regraft.data.balance import Balance
from regraft.data.images import Batch, NeverAlone, SplitName
from regraft.streams import BEGINNING, Order, Start

EVALUATED_AT_ONCE = 2**22  # values, so that a batch of maps is no larger than one of features


class Batches:
    """Batches of rows, shuffled or in order, as float32 whatever they are stored in."""

    def __init__(
        self,
        rows: Tensor,
        labels: Tensor,
        batch_size: int,
        *,
        shuffle: bool,
        passes: int = 1,  # over the data before this counts as an epoch
        weights: Tensor | None = None,  # how likely each is drawn, where not all are alike
        views: int = 1,  # of each image, one block of rows after the other; one is drawn each time
        start: Start = BEGINNING,
        places: Tensor | None = None,  # of the rows that are meant, where not all are
    ) -> None:
        self.rows, self.labels, self.batch_size = rows, labels, batch_size
        self.places = places
        self.passes, self.views = passes, views
        # Lightning tells what is called so which epoch it is.
        self.batch_sampler = None
        self.sampler = (
            Order(len(labels), torch.initial_seed(), weights=weights, start=start)
            if shuffle
            else None
        )

    def __len__(self) -> int:
        return self._batches() * self.passes

    def __iter__(self) -> Iterator[Batch]:
        device = self.rows.device
        for indices, rows in self._parts():
            if self.places is not None:
                rows = self.places[rows]
            batch = self.rows.index_select(0, rows.to(device)).float()
            yield batch, self.labels.index_select(0, indices.to(device))

    def _parts(self) -> Iterable[tuple[Tensor, Tensor]]:
        """Each batch's indices and rows."""
        if self.sampler is None:
            indices = torch.arange(len(self.labels)).split(self.batch_size)
            return zip(indices, indices, strict=True)
        skip, generator = self.sampler.skip, self.sampler.begin()
        drawn = chain.from_iterable(self._shuffled(generator) for _ in range(self.passes))
        return islice(drawn, skip, None)

    def _shuffled(self, generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
        """Each batch's indices, those that the loader of images would draw (`NeverAlone`), and
        the rows of the view that is drawn of each.

        From one tensor of them, since a list of numbers takes longer than the rows it stands for.
        """
        assert self.sampler is not None
        indices = rows = self.sampler.draw(generator)
        if self.views > 1:
            view = torch.randint(self.views, indices.shape, generator=generator)
            rows = indices + view * len(self.labels)
        sizes = [self.batch_size] * self._batches()
        sizes[-1] = len(indices) - sum(sizes[:-1])
        return zip(indices.split(sizes), rows.split(sizes), strict=True)

    def _batches(self) -> int:
        count = len(self.labels)
        if self.sampler is None:
            return math.ceil(count / self.batch_size)
        return NeverAlone.count(count, self.batch_size)


class Features(pl.LightningDataModule):
    """What frozen stages gave for each split's images: rows (N, …) of half or full precision.

    Of training images there may be several views: rows (views × N, …) for labels (N,).
    """

    def __init__(
        self,
        tensors: Mapping[SplitName, Batch],
        batch_size: int,
        balance: Balance | None = None,
    ) -> None:
        super().__init__()
        self.tensors, self.batch_size, self.balance = tensors, batch_size, balance
        rows, labels = tensors["train"]
        self.views = len(rows) // len(labels)
        self.start = BEGINNING

    def only(self, indices: Tensor, passes: int) -> Batches:
        """These training images only, so many times over, each as likely as any other.

        Their rows are not copied: they may be most of a memory map.
        """
        rows, labels = self.tensors["train"]
        places = torch.cat([indices + view * len(labels) for view in range(self.views)])
        return self._shuffled(rows, labels[indices], passes, places=places)

    def train_dataloader(self) -> Batches:
        rows, labels = self.tensors["train"]
        weights = self.balance.of_draws(labels.cpu()) if self.balance else None
        return self._shuffled(rows, labels, passes=1, weights=weights, start=self.start)

    def val_dataloader(self) -> Batches | list[Batches]:
        return self._in_order("val") if "val" in self.tensors else []

    def predict_dataloader(self) -> list[Batches]:
        return [self._in_order(split) for split in self.tensors if split != "train"]

    def transfer_batch_to_device(
        self, batch: Batch, device: torch.device, dataloader_idx: int
    ) -> Batch:
        # Lightning's looks through a batch for tensors, which takes longer than a head's batch.
        rows, labels = batch
        return rows.to(device), labels.to(device)

    def _shuffled(
        self,
        rows: Tensor,
        labels: Tensor,
        passes: int,
        weights: Tensor | None = None,
        start: Start = BEGINNING,
        places: Tensor | None = None,
    ) -> Batches:
        return Batches(
            rows,
            labels,
            self.batch_size,
            shuffle=True,
            passes=passes,
            weights=weights,
            views=self.views,
            start=start,
            places=places,
        )

    def _in_order(self, split: SplitName) -> Batches:
        rows, labels = self.tensors[split]
        count = EVALUATED_AT_ONCE // max(1, rows[:1].numel())
        return Batches(rows, labels, min(max(count, self.batch_size), 4096), shuffle=False)
