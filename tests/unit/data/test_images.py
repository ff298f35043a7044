import itertools
import traceback
from dataclasses import replace

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from PIL import Image

from regraft.data import images as room
from regraft.data.folders import image_folder
from regraft.data.images import Images
from regraft.data.sources import Source, Split, digits
from regraft.data.transforms import InputConfig
from regraft.errors import RegraftError
from regraft.store import Store

INPUT = InputConfig((16, 16), (0.5, 0.4, 0.3), (0.2, 0.3, 0.4), "bilinear", 1.0)


def arrays(train, *, shape=(16, 16, 3)):
    """Image i of a split is filled with i, so that a batch tells which images are in it."""

    def split(name, count):
        images = np.stack([np.full(shape, index % 256, np.uint8) for index in range(count)])
        return Split(images, np.arange(count) % 2, tuple(f"{name}/{i}" for i in range(count)))

    return Source("arrays", ("a", "b"), split("train", train), split("val", 5), split("test", 3))


def make_images(source, *, batch_size=8, workers=0):
    return Images(source, INPUT, batch_size=batch_size, workers=workers)


def order(loader):
    """The images of each batch, by what `arrays` or `photos` filled them with."""
    return [x[:, 0, 0, 0].tolist() for x, _ in loader]


@pytest.fixture
def photos(tmp_path):
    """Photo i of a class is filled with i."""
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        for index in range(10):
            Image.new("L", (20, 24), index).save(tmp_path / name / f"{index}.png")
    return tmp_path


def from_folder(root):
    choices = {"val_fraction": 0.2, "test_fraction": 0.2, "split_seed": 0, "per_class": None}
    choices |= {"fold": None, "folds": 5, "fraction": None}
    choices |= {"on_error": "fail", "follow_links": False}
    return image_folder(0, root=str(root), **choices)


class Probe(pl.LightningModule):
    """Remembers what reaches a model, and learns one number."""

    def __init__(self):
        super().__init__()
        self.weight, self.seen = torch.nn.Parameter(torch.zeros(())), []

    def training_step(self, batch, _):
        x, y = batch
        self.seen.append((x, y))
        return (x.mean() * self.weight).square()

    def validation_step(self, batch, _):
        pass

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


def fit(probe, data, **options):
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        limit_val_batches=0,
        **options,
    )
    trainer.fit(probe, datamodule=data)


def test_what_is_fed_is_described():
    data = make_images(digits(0, per_class=5, fraction=None, split_seed=0, fold=None, folds=5))

    assert data.classes == tuple("0123456789")
    assert data.num_classes == 10
    assert data.sizes == {"train": 50, "val": 179, "test": 359}
    assert data.names["val"] == data.source.val.names
    assert data.input == replace(INPUT, white=data.source.white.values)


@pytest.mark.parametrize("shape", [(16, 16, 3), (8, 8), (20, 30), (30, 20, 3)])
def test_batches_are_bytes_at_the_input_size_with_labels(shape):
    for loader in (make_images(arrays(20, shape=shape)).loader(s) for s in ("train", "val")):
        x, y = next(iter(loader))

        assert x.dtype == torch.uint8
        assert x.shape[1:] == (3, 16, 16)
        assert y.dtype == torch.int64
        assert (x[:, 0, 0, 0] % 2).equal(y)


def test_val_and_test_come_in_order_and_whole():
    data = make_images(arrays(9), batch_size=4)

    assert order(data.val_dataloader()) == [[0, 1, 2, 3], [4]]
    assert order(data.loader("test")) == [[0, 1, 2]]
    assert [order(loader) for loader in data.predict_dataloader()] == [
        [[0, 1, 2, 3], [4]],
        [[0, 1, 2]],
    ]
    assert order(data.loader("train")) == [[0, 1, 2, 3], [4, 5, 6, 7], [8]]


def test_training_order_follows_the_seed_and_changes_with_the_epoch():
    def two_epochs(seed):
        pl.seed_everything(seed)
        loader = make_images(arrays(20)).train_dataloader()
        return order(loader), order(loader)

    assert two_epochs(0) == two_epochs(0)
    assert two_epochs(0) != two_epochs(1)
    first, second = two_epochs(0)
    assert first != second


@pytest.mark.parametrize("batch_size", [1, 2, 3, 8])
@pytest.mark.parametrize("count", [1, 2, 3, 7, 8, 9, 16, 17])
def test_no_training_image_is_alone_or_lost(count, batch_size):
    loader = make_images(arrays(count), batch_size=batch_size).train_dataloader()
    batches = order(loader)

    assert sorted(itertools.chain(*batches)) == list(range(count))
    assert len(batches) == len(loader)
    if batch_size > 1 and count > 1:
        assert min(len(batch) for batch in batches) > 1
    assert max(len(batch) for batch in batches) <= batch_size + (batch_size > 1)


def test_large_arrays_are_fitted_batch_by_batch_to_the_same_pixels(monkeypatch):
    source = digits(0, per_class=5, fraction=None, split_seed=0, fold=None, folds=5)
    held = make_images(source)
    monkeypatch.setattr(room, "_HELD_BYTES", 0)
    lazy = make_images(source, workers=1)

    assert held.datasets["val"].held is not None
    assert lazy.datasets["val"].held is None
    for (x, y), (other_x, other_y) in zip(held.loader("val"), lazy.loader("val"), strict=True):
        assert x.equal(other_x)
        assert y.equal(other_y)


def test_a_read_only_memory_map_is_fed(tmp_path):
    source = arrays(9)
    np.save(tmp_path / "train.npy", source.train.images)
    mapped = np.load(tmp_path / "train.npy", mmap_mode="r")
    train = Split(mapped, source.train.labels, source.train.names)
    data = make_images(Source("mapped", source.classes, train, source.val, source.test))

    assert order(data.loader("train")) == order(make_images(source).loader("train"))


def test_files_are_decoded_the_same_by_workers_for_several_epochs(photos):
    def epochs(workers):
        pl.seed_everything(0, workers=True)
        loader = make_images(from_folder(photos), batch_size=5, workers=workers).train_dataloader()
        return [order(loader) for _ in range(3)]

    assert epochs(0) == epochs(2)


def test_a_model_sees_normalised_floats():
    probe, data = Probe(), make_images(arrays(4), batch_size=4)
    fit(probe, data)
    [(x, y)] = probe.seen

    assert x.dtype == torch.float32
    expected = (y.new_tensor(range(4)) / 255 - 0.5) / 0.2
    torch.testing.assert_close(x[:, 0, 0, 0].sort().values, expected)


@pytest.mark.parametrize("precision", ["bf16-true", "64-true"])
def test_pictures_arrive_in_the_precision_of_the_model(precision):
    probe = Probe()
    fit(probe, make_images(arrays(4)), precision=precision)

    assert probe.seen[0][0].dtype == probe.weight.dtype != torch.float32


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("way", ["read", "fit"])
def test_an_unreadable_image_is_named_in_one_line(photos, workers, way):
    for index in range(10):
        (photos / "cat" / f"{index}.png").write_bytes(b"no image")
    data = make_images(from_folder(photos), workers=workers)

    with pytest.raises(RegraftError) as info:
        order(data.val_dataloader()) if way == "read" else fit(Probe(), data)
    assert len(str(info.value).splitlines()) == 1
    assert str(info.value).startswith(f"'{photos / 'cat'}")
    assert str(info.value).endswith("leave such files out from the start with data.on_error=skip")
    # torch's frames hold the error that holds them: workers would wait for a garbage collection.
    traceback.clear_frames(info.value.__traceback__)


def unwatched(chunks, total, doing):
    return chunks


def kept(root, store, *, input=INPUT, decoded_cache=True):
    data = Images(from_folder(root), input, batch_size=4, workers=0, decoded_cache=decoded_cache)
    data.keep_decoded(store, unwatched)
    return data


def test_files_that_were_read_once_are_not_opened_again(photos, tmp_path, monkeypatch):
    store = Store(tmp_path / ".store")
    fresh = make_images(from_folder(photos), batch_size=4)
    expected = {split: order(fresh.loader(split)) for split in fresh.datasets}
    kept(photos, store)

    monkeypatch.setattr(room, "read_image", lambda path, _: pytest.fail(f"{path} was opened"))
    again = kept(photos, store)
    assert {split: order(again.loader(split)) for split in again.datasets} == expected


def test_a_file_that_changed_is_read_again(photos, tmp_path):
    store = Store(tmp_path / ".store")
    before = order(kept(photos, store).loader("train"))
    train = from_folder(photos).train
    Image.new("L", (20, 24), 99).save(train.images[0])
    after = order(kept(photos, store).loader("train"))

    assert before[0][0] != 99
    assert after[0][0] == 99
    assert after[0][1:] == before[0][1:]


@pytest.mark.parametrize("change", [{"crop_pct": 0.5}, {"interpolation": "nearest"}])
def test_pixels_of_another_transform_are_read_again(change, photos, tmp_path):
    store = Store(tmp_path / ".store")
    kept(photos, store)
    kept(photos, store, input=replace(INPUT, **change))
    assert len(store.entries()) == 6


def test_a_full_disk_means_that_files_are_read_in_every_epoch(photos, tmp_path, caplog):
    data = kept(photos, Store(tmp_path / ".store", max_bytes=100))
    assert "images are read in every epoch" in caplog.text
    assert data.datasets["train"].ready is None
    assert len(order(data.loader("train"))) == 3


@pytest.mark.parametrize("useless", [False, True])
def test_no_file_is_read_for_a_key_where_its_pixels_cannot_be_kept(
    useless, photos, tmp_path, monkeypatch, caplog
):
    monkeypatch.setattr(Images, "fingerprint", lambda *_: pytest.fail("all files were read"))
    monkeypatch.setattr(Store, "is_useless", lambda _: useless)
    kept(photos, Store(tmp_path / ".store", max_bytes=None if useless else 100))
    assert "images are read in every epoch" in caplog.text


def test_what_one_job_keeps_is_not_the_next_ones(tmp_path, monkeypatch):
    """Of an array that is too large to be held, in one process; a small one is fitted once."""
    source = arrays(9)
    first, second = (Images(source, INPUT, batch_size=4, workers=0) for _ in range(2))
    assert first.datasets["train"].ready is second.datasets["train"].ready is not None
    monkeypatch.setattr(room, "_HELD_BYTES", 0)
    keeps = Images(source, INPUT, batch_size=4, workers=0, decoded_cache=True)
    keeps.keep_decoded(Store(tmp_path / ".store"), unwatched)
    assert keeps.datasets["train"].ready is not None
    assert Images(source, INPUT, batch_size=4, workers=0).datasets["train"].ready is None


def test_without_the_cache_nothing_is_kept(photos, tmp_path):
    kept(photos, Store(tmp_path / ".store"), decoded_cache=False)
    assert not (tmp_path / ".store").exists()
