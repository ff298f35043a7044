"""Feeding: batches of raw bytes to the device, where they become what the weights want to see."""

import logging
import math
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, replace
from functools import cached_property, lru_cache
from itertools import islice
from typing import Annotated, Any, Literal

import numpy as np
import pytorch_lightning as pl
import torch
from annotated_types import Ge, Gt
from torch import Tensor
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    Sampler,
    SequentialSampler,
    default_collate,
)

from regraft.data.augment import Augment, Mixup
from regraft.data.balance import Balance
from regraft.data.share import shared
from regraft.data.sources import Source, Split
from regraft.data.transforms import READER, InputConfig, read_image
from regraft.errors import RegraftError
from regraft.fingerprint import key, versions
from regraft.store import NotStoredError, Store
from regraft.streams import BEGINNING, Order

Batch = tuple[Tensor, Tensor]
SplitName = Literal["train", "val", "test"]
# Shows how far one is in so many chunks, and what is being done with them.
Watch = Callable[[Iterable[np.ndarray], int, str], Iterable[np.ndarray]]

LAYOUT = 2  # of what is kept; with another number, nothing that is kept is known
# Those whose versions change pixels and numbers; the last two need not be here.
LIBRARIES = ("torch", "torchvision", "timm", "pillow", "numpy", "pillow-heif", "pydicom")
_HELD_BYTES = 2**30  # up to here, arrays are fitted once and held; beyond, whenever they are read
_log = logging.getLogger(__name__)
_CHUNK = 1024  # images that are fitted together, so that a memory map is read piece by piece


class Images(pl.LightningDataModule):
    """A source, fitted to a backbone's input and in batches.

    Loaders give x uint8 (B, 3, H, W) and y int64 (B,); on the device x is normalised to float32.
    `workers` processes decode image files; arrays that fit in memory need none and get none, nor
    do files that `keep_decoded` has read, which it does with `decoded_cache`. `on_oom` is for who
    runs the job (memory.py).
    """

    def __init__(
        self,
        source: Source,
        input: InputConfig,
        augment: Augment | None = None,
        balance: Balance | None = None,
        *,
        batch_size: Annotated[int, Gt(0)],
        workers: Annotated[int, Ge(0)],
        decoded_cache: bool = False,
        on_oom: Literal["fail", "halve"] = "fail",
    ) -> None:
        super().__init__()
        input = replace(input, white=source.white.values)  # which no weights know
        self.source, self.input, self.augment, self.balance = source, input, augment, balance
        self.decoded_cache, self.on_oom = decoded_cache, on_oom
        self.batch_size, self.workers = batch_size, workers
        self.start = BEGINNING
        self.classes, self.num_classes = source.classes, len(source.classes)
        splits: dict[SplitName, Split] = {
            "train": source.train,
            "val": source.val,
            "test": source.test,
        }
        self.sizes = {name: len(split) for name, split in splits.items()}
        self.names = {name: split.names for name, split in splits.items()}
        hold = sum(self.sizes.values()) * 3 * input.size[0] * input.size[1] <= _HELD_BYTES
        self.datasets = {n: FittedImages(split, input, hold=hold) for n, split in splits.items()}

    @property
    def splits(self) -> tuple[SplitName, ...]:
        """Those that have images: val or test may have none."""
        return tuple(name for name, size in self.sizes.items() if size)

    @property
    def judged(self) -> tuple[SplitName, ...]:
        """Those that are predicted at the end; the last one judges: test, or else val."""
        return tuple(split for split in self.splits if split != "train")

    def loader(self, split: SplitName, *, shuffle: bool = False) -> DataLoader:
        """Every image of a split once, in its order; or shuffled, never alone in a batch, and
        rare classes more often if `balance` says so."""
        dataset = self.datasets[split]
        kind = NeverAlone if shuffle else BatchSampler
        workers = 0 if dataset.ready is not None else self.workers
        batches = kind(self._order(split, shuffle), self.batch_size, drop_last=False)
        return DataLoader(
            dataset,
            batch_sampler=shared(batches) if shuffle else batches,
            collate_fn=_as_it_is,
            num_workers=workers,
            persistent_workers=workers > 0,
            pin_memory=torch.cuda.is_available(),
            # Workers take their seed from here, not from torch's global stream: the order of the
            # training images is then the same for any number of workers, and any use of val.
            generator=torch.Generator().manual_seed(torch.initial_seed()),
        )

    def _order(self, split: SplitName, shuffle: bool) -> Sampler[int]:
        dataset = self.datasets[split]
        if not shuffle:
            return SequentialSampler(dataset)
        weights = self.balance.of_draws(self.labels(split)) if self.balance else None
        return Order(len(dataset), torch.initial_seed(), weights=weights, start=self.start)

    def labels(self, split: SplitName) -> Tensor:
        """The class indices of a split, int64 (N,)."""
        return self.datasets[split].labels

    @property
    def listing(self) -> dict[str, str]:
        """By split, a digest of which images of which classes it has; their bytes are not read."""
        return {
            name: key(names=self.names[name], labels=data.split.labels.tolist())[:16]
            for name, data in self.datasets.items()
        }

    def fingerprint(self, split: SplitName) -> str:
        """What differs once a byte of any image of the split differs."""
        return self.datasets[split].split.fingerprint

    def key(self, split: SplitName, *, what: str, **more: Any) -> str:
        """The key of what is made of a split's images, by which alone the store knows it.

        It says on what all that is made of images depends: them, how they are read and fitted,
        and with which libraries. `more` is what this thing depends on besides, as plain data.
        """
        return key(
            what=what,
            layout=LAYOUT,
            reader=READER,
            versions=versions(LIBRARIES),
            input=asdict(self.input),
            images=self.fingerprint(split),
            more=more,
        )

    def described(self, split: SplitName) -> dict[str, Any]:
        """What images a split has, for the card of the weights that are learned from it."""
        return {
            "name": self.source.name,
            "images": self.sizes[split],
            "fingerprint": self.fingerprint(split),
            "labels": self.num_classes > 1,
        }

    def unchanged(self, split: SplitName, chunks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """The same chunks; RegraftError at their end if a file of the split has changed meanwhile.

        What was made of it would be kept under the fingerprint of what it was before.
        """
        before = self.fingerprint(split)
        yield from chunks
        if self.fingerprint(split) != before:
            raise RegraftError(f"{split} images were changed while they were read; start again")

    def keep_decoded(
        self, store: Store, watch: Watch, splits: Sequence[SplitName] | None = None
    ) -> None:
        """Read image files, and arrays too large to be held, once for all epochs and jobs.

        Their pixels, fitted to the input, go to the store; where it has no room for them, a line
        in the log says so and they are read in every epoch.
        """
        if not self.decoded_cache:
            return
        for split in (
            split for split in splits or self.splits if self.datasets[split].ready is None
        ):
            data, loader = self.datasets[split], self.loader(split)
            shape = (len(data), 3, *self.input.size)
            pixels = watch((x.numpy() for x, _ in loader), len(loader), f"reading {split} images")
            pixels = self.unchanged(split, pixels)
            about = {"stages": "images as they are read", "data": f"{self.source.name} {split}"}
            try:
                store.require_room(shape, np.uint8)  # before every file is read for its digest
                name = self.key(split, what="images as they are read")
                data.kept = as_tensor(store.compute(name, shape, np.uint8, pixels, about))
            except NotStoredError as error:
                _log.warning("%s; images are read in every epoch", error)
                return

    def train_dataloader(self) -> DataLoader:
        return self.loader("train", shuffle=True)

    def val_dataloader(self) -> DataLoader | list[DataLoader]:
        return self.loader("val") if self.sizes["val"] else []

    def predict_dataloader(self) -> list[DataLoader]:
        return [self.loader(split) for split in self.judged]

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        x, y = batch
        training = self.trainer is not None and self.trainer.training
        augment = self.augment if training else None
        x = self.input.normalize(x if augment is None else augment(x))
        if isinstance(augment, Mixup):
            x, y = augment.mix(x, y, self.num_classes)
        # Lightning converts to the trainer's precision before this hook, when x was still bytes.
        return (self.trainer.precision_plugin.convert_input(x) if self.trainer else x), y


class FittedImages(Dataset[Batch]):
    """A split at the size of the backbone's input, read by whole batches."""

    def __init__(self, split: Split, input: InputConfig, *, hold: bool) -> None:
        self.split, self.input, self.hold = split, input, hold
        self.kept: Tensor | None = None  # all images, fitted, in a memory map
        self.labels = torch.from_numpy(split.labels)

    def __len__(self) -> int:
        return len(self.split)

    def __getitem__(self, index: int) -> Batch:
        x, y = self.__getitems__([index])
        return x[0], y[0]

    def __getitems__(self, indices: list[int]) -> Batch:
        images = self.split.images
        if self.ready is not None:
            x = self.ready.index_select(0, torch.tensor(indices))  # copies rows, not bytes
        elif not isinstance(images, np.ndarray):
            # In a worker, into memory that it shares with the main process.
            pictures = (read_image(images[index], self.input.white) for index in indices)
            x = default_collate([self.input.fit(picture) for picture in pictures])
        else:
            x = self.input.fit(images[indices])
        return x, self.labels[indices]

    @property
    def ready(self) -> Tensor | None:
        """All images, fitted, if they need not be read one by one."""
        return self.held if self.kept is None else self.kept

    @cached_property
    def held(self) -> Tensor | None:
        """All images of a small array, fitted once for all jobs of the process."""
        few = self.hold and isinstance(self.split.images, np.ndarray)
        return _all_of(self.split, self.input) if few else None


@lru_cache(maxsize=6)  # two sources, of which at most so much is held
def _all_of(split: Split, input: InputConfig) -> Tensor:
    images = split.images
    assert isinstance(images, np.ndarray)  # files may change between two jobs
    fitted = torch.empty(len(images), 3, *input.size, dtype=torch.uint8)
    for start in range(0, len(images), _CHUNK):
        fitted[start : start + _CHUNK] = input.fit(images[start : start + _CHUNK])
    return fitted


class NeverAlone(BatchSampler):
    """Batches of which none holds a single image, on which batch norm fails: it joins the last."""

    def __iter__(self) -> Iterator[list[int]]:
        skip = getattr(self.sampler, "skip", 0)
        yield from islice(self._batches(iter(self.sampler)), skip, None)

    def _batches(self, indices: Iterator[int]) -> Iterator[list[int]]:
        held: list[int] = []
        while batch := list(islice(indices, self.batch_size)):
            if held and self.batch_size > 1 and len(batch) == 1:
                batch = held + batch
            elif held:
                yield held
            held = batch
        if held:
            yield held

    def __len__(self) -> int:
        return self.count(len(self.sampler), self.batch_size)  # type: ignore[arg-type]

    @staticmethod
    def count(images: int, batch_size: int) -> int:
        """How many batches so many images make."""
        alone = images > batch_size > 1 == images % batch_size
        return math.ceil(images / batch_size) - alone


def as_tensor(array: np.ndarray) -> Tensor:
    """The array's own memory as a tensor, also if it is a read-only map: nothing writes to it."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(array)


def _as_it_is(batch: Any) -> Any:
    return batch
