import pytest
import pytorch_lightning as pl
import torch
from torch import nn
from torchvision.transforms.v2 import functional

from regraft.data import augment
from regraft.data.augment import Light, Mixup, Strong, Trivial
from regraft.data.images import Images
from regraft.data.sources import digits
from regraft.data.transforms import InputConfig
from regraft.errors import RegraftError

LIGHT = Light(scale=0.5, flip=0.5, jitter=0.3)
MIXUP = Mixup(scale=1.0, flip=0.0, mixup=0.4, cutmix=0.0)
EVERY = {
    "light": LIGHT,
    "trivial": Trivial(scale=0.5, flip=0.5),
    "strong": Strong(scale=0.5, flip=0.5, operations=2, magnitude=9, erase=0.5),
    "mixup": Mixup(scale=0.5, flip=0.5, mixup=0.2, cutmix=1.0),
}


def pictures(count=8):
    row = torch.arange(16, dtype=torch.uint8) * 16
    return row.expand(count, 3, 16, 16).contiguous()


@pytest.mark.parametrize("name", EVERY)
def test_every_image_changes_in_its_own_way_and_keeps_size_and_type(name):
    torch.manual_seed(0)
    noise = torch.randint(256, (3, 48, 48), dtype=torch.uint8)
    changed = EVERY[name](noise.expand(8, 3, 48, 48).contiguous())
    assert (changed.shape, changed.dtype) == ((8, 3, 48, 48), torch.uint8)
    assert len({tuple(image.flatten().tolist()) for image in changed}) == 8


def test_the_same_seed_changes_them_in_the_same_way():
    versions = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        versions.append(LIGHT(pictures()))
    assert torch.equal(versions[0], versions[1])
    assert not torch.equal(versions[0], versions[2])


def test_strength_is_what_is_asked_for():
    torch.manual_seed(0)
    still = Strong(scale=1.0, flip=0.0, operations=0, magnitude=0, erase=0.0)
    erased = Strong(scale=1.0, flip=0.0, operations=0, magnitude=0, erase=1.0)(pictures())
    assert torch.equal(still(pictures()), pictures())
    for image in erased:
        changed = (image != pictures(1)[0]).all(0)
        assert changed.any()
        assert (image[:, changed] == 128).all()


def test_mixup_blends_pictures_and_labels_in_the_same_shares():
    torch.manual_seed(0)
    images = torch.eye(4).reshape(4, 1, 2, 2).expand(4, 3, 2, 2).contiguous()
    mixed, shares = MIXUP.mix(images, torch.arange(4), 5)
    assert shares.shape == (4, 5)
    assert torch.allclose(mixed[:, 0].flatten(1), shares[:, :4])
    assert torch.allclose(shares.sum(1), torch.ones(4))
    assert ((shares > 0).sum(1) == 2).all()


def test_cutmix_puts_a_part_of_one_picture_into_another():
    torch.manual_seed(1)
    images = torch.arange(4.0).reshape(4, 1, 1, 1).expand(4, 3, 16, 16).contiguous()
    cut = Mixup(scale=1.0, flip=0.0, mixup=0.0, cutmix=1.0)
    mixed, shares = cut.mix(images, torch.arange(4), 4)
    for image, share in zip(mixed, shares, strict=True):
        parts = torch.stack([(image[0] == label).float().mean() for label in range(4)])
        assert torch.allclose(parts, share, atol=1e-6)


def test_a_mixup_of_nothing_is_refused():
    with pytest.raises(RegraftError, match="mix nothing; use augment=light"):
        Mixup(scale=1.0, flip=0.0, mixup=0.0, cutmix=0.0)


def test_switched_off_nothing_changes():
    assert torch.equal(Light(scale=1.0, flip=0.0, jitter=0.0)(pictures()), pictures())
    assert augment.none() is None


def test_colours_are_drawn_for_each_image_within_the_strength_that_is_asked_for():
    torch.manual_seed(0)
    jitter = Light(scale=1.0, flip=0.0, jitter=0.3)
    flat = torch.full((200, 3, 4, 4), 100, dtype=torch.uint8)  # which brightness alone changes
    levels = jitter(flat)[:, :, 0, 0]
    assert (levels == levels[:, :1]).all()
    assert 70 <= levels.min() < 75
    assert 125 < levels.max() <= 130
    assert len(levels[:, 0].unique()) > 40


def test_colours_are_changed_as_torchvision_changes_them():
    torch.manual_seed(0)
    images = torch.randint(60, 190, (20, 3, 16, 16), dtype=torch.uint8)
    torch.manual_seed(1)
    found = Light(scale=1.0, flip=0.0, jitter=0.2)._coloured(images)
    torch.manual_seed(1)
    draws = torch.empty(3, 20).uniform_(0.8, 1.2)
    for image, changed, (light, contrast, saturation) in zip(
        images.double() / 255, found, draws.T.tolist(), strict=True
    ):
        expected = functional.adjust_brightness(image, light)
        expected = functional.adjust_contrast(expected, contrast)
        expected = functional.adjust_saturation(expected, saturation)
        # Some 0.1 of 255 for its weights of grey, whose sum is 0.9999, and 0.5 for rounding.
        assert (changed - expected * 255).abs().max() < 0.7


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
