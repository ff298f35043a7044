import pytest
import torch
from torch.utils.data import BatchSampler

from regraft.data.images import NeverAlone
from regraft.data.share import Share
from regraft.streams import Order


def shares(images, batch_size, count, sampler=NeverAlone):
    """Two epochs of each device, whose streams of random numbers have gone different ways."""
    epochs = []
    for number in range(count):
        batches = sampler(Order(images, seed=0), batch_size, drop_last=False)
        share = Share(batches, number, count)
        torch.rand(number)
        epochs.append([list(share), list(share)])
        assert len(epochs[-1][0]) == len(share)
    return epochs


@pytest.mark.parametrize("images", [4, 64, 65, 66, 67, 127, 200])
@pytest.mark.parametrize(("batch_size", "count"), [(64, 2), (6, 3), (7, 2)])
def test_devices_take_every_image_once_in_the_same_number_of_steps(images, batch_size, count):
    if images < 2 * count:
        return
    devices = shares(images, batch_size, count)
    for epoch in (0, 1):
        taken = [device[epoch] for device in devices]
        assert len({len(batches) for batches in taken}) == 1
        assert sorted(i for batches in taken for batch in batches for i in batch) == [
            *range(images)
        ]
        assert min(len(batch) for batches in taken for batch in batches) >= 2


def test_the_order_is_another_in_each_epoch():
    [[first, second], _] = shares(100, 10, 2)
    assert first != second


def test_what_is_left_over_joins_the_batch_before():
    [[batches, _], _] = shares(11, 8, 2, BatchSampler)
    assert [len(batch) for batch in batches] == [6]
