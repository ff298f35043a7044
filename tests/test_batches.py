import pytest
import torch
from torch.utils.data import RandomSampler, WeightedRandomSampler

from regraft.batches import EVALUATED_AT_ONCE, Batches, Features
from regraft.data.images import NeverAlone


def numbered(count, dtype=torch.float16):
    rows = torch.arange(count, dtype=torch.float32).unsqueeze(1).to(dtype)
    return rows, torch.arange(count)


@pytest.mark.parametrize("count", [1, 2, 8, 9, 15, 16, 17, 33])
@pytest.mark.parametrize("size", [1, 4, 8])
def test_a_seed_draws_the_batches_that_the_loader_of_images_draws(count, size):
    torch.manual_seed(3)
    expected = [list(NeverAlone(RandomSampler(range(count)), size, False)) for _ in range(2)]
    torch.manual_seed(3)
    batches = Batches(*numbered(count), size, shuffle=True)
    drawn = [[labels.tolist() for _, labels in batches] for _ in range(2)]

    assert drawn == expected
    assert len(batches) == len(drawn[0])


def test_weighted_batches_are_those_that_the_loader_of_images_draws():
    weights = torch.tensor([1.0, 1, 1, 1, 1, 1, 1, 1, 8]).double()
    torch.manual_seed(3)
    expected = list(NeverAlone(WeightedRandomSampler(weights, 9), 4, False))
    torch.manual_seed(3)
    batches = Batches(*numbered(9), 4, shuffle=True, weights=weights)
    assert [labels.tolist() for _, labels in batches] == expected


def test_rows_and_labels_belong_together_and_rows_are_in_full_precision():
    for rows, labels in Batches(*numbered(20), 6, shuffle=True):
        assert rows.dtype == torch.float32
        assert rows.flatten().tolist() == labels.tolist()


def test_in_order_means_in_order():
    batches = Batches(*numbered(5), 2, shuffle=False)
    assert [labels.tolist() for _, labels in batches] == [[0, 1], [2, 3], [4]]


def test_passes_are_so_many_epochs_in_one():
    batches = Batches(*numbered(9), 4, shuffle=True, passes=3)
    seen = torch.cat([labels for _, labels in batches])
    assert len(batches) == len([*batches]) == 6
    assert seen.bincount().tolist() == [3] * 9


def test_large_rows_are_evaluated_in_smaller_batches():
    large = torch.zeros(100, EVALUATED_AT_ONCE // 40)
    data = Features(dict.fromkeys(("train", "val", "test"), (large, torch.zeros(100))), 8)
    assert {len(labels) for _, labels in data.val_dataloader()} == {40, 20}


def test_a_subset_keeps_its_views():
    rows, labels = torch.arange(12.0).unsqueeze(1), torch.arange(4)  # three views of four images
    data = Features(dict.fromkeys(("train", "val", "test"), (rows, labels)), 2)
    seen = set()
    for batch, targets in data.only(torch.tensor([1, 3]), passes=30):
        assert (batch.flatten() % 4).tolist() == targets.tolist()
        seen.update(batch.flatten().tolist())
    assert seen == {1.0, 3.0, 5.0, 7.0, 9.0, 11.0}
