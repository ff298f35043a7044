import pytest
import pytorch_lightning as pl
import torch
from torch import nn

from regraft.data import augment
from regraft.data.augment import Light
from regraft.data.images import Images
from regraft.data.sources import digits
from regraft.data.transforms import InputConfig

LIGHT = Light(scale=0.5, flip=0.5, jitter=0.3)


def pictures(count=8):
    row = torch.arange(16, dtype=torch.uint8) * 16
    return row.expand(count, 3, 16, 16).contiguous()


def test_every_image_changes_in_its_own_way_and_keeps_size_and_type():
    torch.manual_seed(0)
    changed = LIGHT(pictures())
    assert (changed.shape, changed.dtype) == ((8, 3, 16, 16), torch.uint8)
    assert len({tuple(image.flatten().tolist()) for image in changed}) == 8


def test_the_same_seed_changes_them_in_the_same_way():
    versions = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        versions.append(LIGHT(pictures()))
    assert torch.equal(versions[0], versions[1])
    assert not torch.equal(versions[0], versions[2])


def test_switched_off_nothing_changes():
    assert torch.equal(Light(scale=1.0, flip=0.0, jitter=0.0)(pictures()), pictures())
    assert augment.none() is None


def test_a_flip_is_left_for_right():
    assert torch.equal(Light(scale=1.0, flip=1.0, jitter=0.0)(pictures()), pictures().flip(-1))


class Seen(pl.LightningModule):
    """Keeps what it is given to train and to validate on."""

    def __init__(self) -> None:
        super().__init__()
        self.weight, self.train_x, self.val_x = nn.Parameter(torch.zeros(1)), [], []

    def training_step(self, batch, _):
        self.train_x.append(batch[0])
        return self.weight.sum()

    def validation_step(self, batch, _):
        self.val_x.append(batch[0])

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


@pytest.mark.parametrize("light", [LIGHT, None], ids=["light", "none"])
def test_only_training_images_are_changed(light):
    source = digits(0, per_class=2, fraction=None, split_seed=0, fold=None, folds=5)
    shape = InputConfig((16, 16), (0.5,) * 3, (0.5,) * 3, "bilinear", 1.0)
    data = Images(source, shape, light, batch_size=200, workers=0)
    model = Seen()
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    trainer = pl.Trainer(
        max_epochs=1, accelerator="cpu", num_sanity_val_steps=0, enable_model_summary=False, **quiet
    )
    trainer.fit(model, data)

    def kept(split, seen):
        stored = [tuple(x.flatten().tolist()) for x in shape.normalize(data.datasets[split].held)]
        return {tuple(x.flatten().tolist()) for x in torch.cat(seen)} == set(stored)

    assert kept("val", model.val_x)
    assert kept("train", model.train_x) == (light is None)
