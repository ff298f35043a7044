"""Random numbers that a job which goes on draws as one that was never stopped does.

What is drawn before an epoch, the order of its images, follows from the seed and the epoch. What
is drawn on the way, for dropout and augmentation, comes from the streams that all libraries share:
their states are kept with every checkpoint.
"""

import random
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Sampler


class Start(NamedTuple):
    """Where a training begins or goes on: the epoch, and how many of its batches are done."""

    epoch: int = 0
    batches: int = 0


BEGINNING = Start()


class Order(Sampler[int]):
    """The indices of `count` images in an order of each epoch's own.

    Drawn with `weights`, float64 (count,), where not all are alike. Each iteration is the epoch
    after the last one, unless `set_epoch` has said which: Lightning calls that before each epoch,
    but has asked for the first one's batches by then, and with workers for their indices too;
    hence `start`. An iterator from which nothing is drawn, as torch makes one, counts for nothing.
    """

    def __init__(
        self, count: int, seed: int, *, weights: Tensor | None = None, start: Start = BEGINNING
    ) -> None:
        self.count, self.seed, self.weights, self.start = count, seed, weights, start
        self.epoch = start.epoch

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    @property
    def skip(self) -> int:
        """How many batches of the epoch that comes now are done."""
        return self.start.batches if self.epoch == self.start.epoch else 0

    def begin(self) -> torch.Generator:
        """What this epoch's numbers come from; whoever asks again gets the next epoch's."""
        words = np.random.SeedSequence((self.seed, self.epoch)).generate_state(1, np.uint64)
        self.epoch += 1
        return torch.Generator().manual_seed(int(words[0]))

    def draw(self, generator: torch.Generator) -> Tensor:
        """All indices once, int64 (count,); or as many as there are, drawn with `weights`."""
        if self.weights is None:
            return torch.randperm(self.count, generator=generator)
        return torch.multinomial(self.weights, self.count, replacement=True, generator=generator)

    def __iter__(self) -> Iterator[int]:
        yield from self.draw(self.begin()).tolist()

    def __len__(self) -> int:
        return self.count


def states() -> dict[str, Any]:
    """Where the shared streams are, as plain data."""
    kind, keys, *rest = np.random.get_state(legacy=True)
    return {
        "python": random.getstate(),
        "numpy": (kind, np.asarray(keys).tolist(), *rest),
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all(),
    }


def restore(states: dict[str, Any]) -> None:
    """Put the shared streams where they were; those of a device that is not there are left out."""
    random.setstate(states["python"])
    np.random.set_state(states["numpy"])
    torch.set_rng_state(states["torch"])
    for device, state in enumerate(states["cuda"][: torch.cuda.device_count()]):
        torch.cuda.set_rng_state(state, device)
