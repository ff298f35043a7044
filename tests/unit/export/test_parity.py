"""How an exported network is compared with the checkpoint's, and heads that timm does not have."""

import exports
import pytest
import torch

from regraft import trained
from regraft.errors import RegraftError
from regraft.export import parity
from regraft.export.export import export


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
