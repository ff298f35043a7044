import pytest
import torch

from regraft.batches import EVALUATED_AT_ONCE, Batches, Features
from regraft.data.images import NeverAlone
from regraft.streams import Order, Start


def numbered(count, dtype=torch.float16):
    rows = torch.arange(count, dtype=torch.float32).unsqueeze(1).to(dtype)
    return rows, torch.arange(count)


@pytest.mark.parametrize("count", [1, 2, 8, 9, 15, 16, 17, 33])
@pytest.mark.parametrize("size", [1, 4, 8])
def test_a_seed_draws_the_batches_that_the_loader_of_images_draws(count, size):
    loader = NeverAlone(Order(count, seed=3), size, False)
    expected = [list(loader) for _ in range(2)]
    torch.manual_seed(3)
    batches = Batches(*numbered(count), size, shuffle=True)
    drawn = [[labels.tolist() for _, labels in batches] for _ in range(2)]

    assert drawn == expected
    assert len(batches) == len(drawn[0])


def test_weighted_batches_are_those_that_the_loader_of_images_draws():
    weights = torch.tensor([1.0, 1, 1, 1, 1, 1, 1, 1, 8]).double()
    expected = list(NeverAlone(Order(9, seed=3, weights=weights), 4, False))
    torch.manual_seed(3)
    batches = Batches(*numbered(9), 4, shuffle=True, weights=weights)
    assert [labels.tolist() for _, labels in batches] == expected


def test_an_epoch_is_gone_on_with_where_it_was_left_and_the_next_is_whole():
    torch.manual_seed(3)
    rows = torch.arange(99.0).unsqueeze(1)  # three views
    facts = (rows, torch.arange(33), 8)
    whole = Batches(*facts, shuffle=True, views=3)
    epochs = [[batch.tolist() for batch, _ in whole] for _ in range(4)]
    rest = Batches(*facts, shuffle=True, views=3, start=Start(epoch=2, batches=3))
    assert [[batch.tolist() for batch, _ in rest] for _ in range(2)] == [epochs[2][3:], epochs[3]]
    assert len(rest) == 4  # of an epoch, whatever is left of it
    first, second = Order(33, seed=3), Order(33, seed=3, start=Start(epoch=1, batches=2))
    list(first)
    assert list(NeverAlone(first, 8, False))[2:] == list(NeverAlone(second, 8, False))


def test_which_epoch_it_is_can_be_said_and_other_streams_are_left_alone():
    torch.manual_seed(3)
    before = torch.get_rng_state()
    batches = Batches(*numbered(33), 8, shuffle=True)
    epochs = [[labels.tolist() for _, labels in batches] for _ in range(3)]
    iter(batches)  # and nothing drawn
    batches.sampler.set_epoch(1)
    assert [labels.tolist() for _, labels in batches] == epochs[1]
    assert torch.equal(torch.get_rng_state(), before)


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


def test_a_subset_copies_no_rows():
    rows, labels = numbered(20)
    data = Features(dict.fromkeys(("train", "val", "test"), (rows, labels)), 6)
    few = data.only(torch.arange(0, 20, 2), passes=1)
    assert few.rows.data_ptr() == rows.data_ptr()
    assert sorted(int(x) for batch, _ in few for x in batch.flatten()) == [*range(0, 20, 2)]


def test_a_subset_keeps_its_views():
    rows, labels = torch.arange(12.0).unsqueeze(1), torch.arange(4)  # three views of four images
    data = Features(dict.fromkeys(("train", "val", "test"), (rows, labels)), 2)
    seen = set()
    for batch, targets in data.only(torch.tensor([1, 3]), passes=30):
        assert (batch.flatten() % 4).tolist() == targets.tolist()
        seen.update(batch.flatten().tolist())
    assert seen == {1.0, 3.0, 5.0, 7.0, 9.0, 11.0}
