"""Every backbone family in every format says what the checkpoint says, by its own readers too."""

import shutil
from functools import cache
from pathlib import Path

import exports
import pytest
import torch
from families import FAMILIES

from regraft import trained
from regraft.errors import RegraftError
from regraft.export import parity
from regraft.export.export import export

PLACES = [Path(module.__file__).parents[1] for module in (torch, trained)]
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


@pytest.fixture(scope="module")
def run_of(tmp_path_factory):
    """The folder of a run with a network of a family, made once."""

    @cache
    def make(family):
        return exports.make_run(tmp_path_factory.mktemp(family) / "run", *FAMILIES[family])

    return make


@pytest.mark.parametrize(("format", "family"), [*grid()])
def test_every_family_is_the_same_in_every_format(format, family, run_of, tmp_path):
    done = export(run_of(family), format, tmp_path / "out")
    assert done.parity.holds
    assert done.parity.logit > 0.1  # it does say something
    for path in (tmp_path / "out").iterdir():
        # A stack trace would tell where this machine has what.
        content = path.read_bytes()
        assert not any(str(place).encode() in content for place in PLACES)


@pytest.mark.parametrize(
    "format",
    [
        pytest.param("onnx", marks=pytest.mark.slow),
        pytest.param("torch_export", marks=pytest.mark.slow),
        "timm",
        "safetensors",
    ],
)
def test_the_folder_is_all_that_is_needed_for_any_number_of_images(format, tmp_path):
    run = exports.make_run(tmp_path / "run", "test_resnet", 64)
    expected = trained.load(run)
    export(run, format, tmp_path / "out")
    shutil.rmtree(run)
    (tmp_path / "out").rename(tmp_path / "moved")
    model = trained.load(tmp_path / "moved")
    for number in (1, 3, 16):
        images = torch.randn(number, 3, 64, 64)
        with torch.inference_mode():
            found, logits = model.network(images), expected.network(images)
        assert torch.allclose(found, logits, rtol=1e-4, atol=1e-4)
    assert (model.input, model.classes, model.calibration) == (
        expected.input,
        expected.classes,
        expected.calibration,
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("format", "head", "dropped", "family"),
    [
        ("onnx", "mlp", 0, "resnet"),
        ("onnx", "conv_mlp", 0, "swin"),
        ("onnx", "linear", 1, "densenet"),
        ("torch_export", "conv_mlp", 2, "resnet"),
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
