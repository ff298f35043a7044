"""Every backbone family in every format says what the checkpoint says, by its own readers too."""

import shutil

import exports
import pytest
import torch
from families import FAMILIES

from regraft import trained
from regraft.errors import RegraftError
from regraft.export import parity
from regraft.export.export import export

FORMATS = ("onnx", "torch_export", "timm", "safetensors")
# Those whose smallest network is large, or is followed slowly.
QUICK = {
    (format, family)
    for format in ("timm", "safetensors")
    for family in FAMILIES.keys() - {"inception", "vgg"}
}


def grid():
    for format in FORMATS:
        for family in FAMILIES:
            marks = () if (format, family) in QUICK else pytest.mark.slow
            yield pytest.param(format, family, marks=marks, id=f"{format}-{family}")


@pytest.mark.parametrize(("format", "family"), [*grid()])
def test_every_family_is_the_same_in_every_format(format, family, tmp_path):
    run = exports.make_run(tmp_path / "run", *FAMILIES[family])
    done = export(run, format, tmp_path / "out")
    assert done.parity.holds
    assert done.parity.logit > 0.1  # it does say something

    shutil.rmtree(run)  # from here on the folder is all there is
    model = trained.load(tmp_path / "out")
    images = torch.randn(3, 3, *model.input.size)
    with torch.inference_mode():
        three, one = model.network(images), model.network(images[1:2])
    assert three.shape == (3, len(exports.CLASSES))
    assert torch.allclose(three[1:2], one, rtol=1e-4, atol=1e-4)
    shutil.rmtree(tmp_path / "out")


@pytest.mark.slow
@pytest.mark.parametrize("format", ["onnx", "torch_export"])
@pytest.mark.parametrize(
    ("head", "dropped", "family"),
    [
        ("mlp", 0, "resnet"),
        ("conv_mlp", 0, "swin"),
        ("conv_mlp", 2, "resnet"),
        ("linear", 1, "densenet"),
    ],
)
def test_every_head_and_networks_that_are_cut_off(format, head, dropped, family, tmp_path):
    run = exports.make_run(tmp_path / "run", *FAMILIES[family], head=head, dropped=dropped)
    assert export(run, format, tmp_path / "out").parity.holds


@pytest.mark.parametrize(("head", "dropped"), [("mlp", 0), ("conv_mlp", 2), ("linear", 1)])
def test_what_timm_has_no_layers_for_goes_to_safetensors(head, dropped, tmp_path):
    run = exports.make_run(tmp_path / "run", "test_resnet", 64, head=head, dropped=dropped)
    assert export(run, "safetensors", tmp_path / "out").parity.holds
    with pytest.raises(RegraftError, match="none of timm's, .* use --to safetensors or --to onnx"):
        export(run, "timm", tmp_path / "no")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "run"]


class Off(torch.nn.Module):
    """Says what a network says, and then something."""

    def __init__(self, network, then):
        super().__init__()
        self.network, self.then = network, then

    def forward(self, images):
        return self.then(self.network(images))


def of_one(logits):
    if len(logits) == 5:
        raise ValueError("five")
    return logits


@pytest.mark.parametrize(
    ("then", "holds"),
    [
        (lambda logits: logits, True),
        (lambda logits: logits + 2e-4 * logits.abs().max().clamp_min(1), False),
        (lambda logits: logits.flip(1), False),
        (lambda logits: torch.cat([logits[:-1], logits[-1:] * torch.nan]), False),
    ],
)
def test_a_difference_is_seen(then, holds, tmp_path):
    model = trained.load(exports.make_run(tmp_path / "run", "test_resnet", 64))
    images = parity.photographs(model.input)
    doors = [Off(model.network, lambda logits: logits), Off(model.network, then)]
    assert parity.measure(model.network, images, doors).holds is holds


def test_a_batch_that_is_not_taken_is_one_line(tmp_path):
    model = trained.load(exports.make_run(tmp_path / "run", "test_resnet", 64))
    images = parity.photographs(model.input)
    with pytest.raises(RegraftError, match=r"does not take batches of \(1, 2, 5\) images: five"):
        parity.measure(model.network, images, [Off(model.network, of_one)])


def test_the_photographs_are_eight_real_ones(tmp_path):
    model = trained.load(exports.make_run(tmp_path / "run", "test_resnet", 64))
    images = parity.photographs(model.input)
    assert images.shape == (8, 3, 64, 64)
    assert all(not torch.equal(a, b) for i, a in enumerate(images) for b in images[:i])
    assert images.std() > 0.5
