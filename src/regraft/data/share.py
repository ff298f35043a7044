"""What each of several devices takes of a batch of training images."""

from collections.abc import Iterator

from torch import distributed
from torch.utils.data import BatchSampler, Sampler


class Share(Sampler[list[int]]):
    """One device's part of each batch: together they take every image once, in the same steps.

    All draw the same batches, since an epoch's order follows from the seed and the epoch. A last
    batch with fewer than two images for each joins the one before: batch norm fails on one.
    """

    def __init__(self, batches: BatchSampler, number: int, count: int) -> None:
        self.batches, self.number, self.count = batches, number, count
        self.sampler = batches.sampler  # whom Lightning tells the epoch
        self.images = len(batches.sampler)  # type: ignore[arg-type]

    def __iter__(self) -> Iterator[list[int]]:
        batches = list(self.batches)
        if len(self) < len(self.batches) and len(batches) > 1:
            batches[-2:] = [batches[-2] + batches[-1]]
        return (batch[self.number :: self.count] for batch in batches)

    def __len__(self) -> int:
        whole = len(self.batches)
        last = self.images - (whole - 1) * self.batches.batch_size
        return whole - (whole > 1 and last < 2 * self.count)


def shared(batches: BatchSampler) -> Sampler[list[int]]:
    """The same batches; the part of this process where several train one job together."""
    if not distributed.is_initialized() or distributed.get_world_size() == 1:
        return batches
    return Share(batches, distributed.get_rank(), distributed.get_world_size())
