import json

import pytest
import torch
from safetensors.torch import load_file

from regraft import card
from regraft.backbone import Backbone
from regraft.errors import RegraftError

ABOUT = {"method": "layerwise", "seed": 0, "license": "cc-by-nc-4.0"}


@pytest.fixture
def written(tmp_path):
    network = Backbone(name="fractal_resnet")
    about = {**ABOUT, "input": {**vars(network.input), "size": [64, 64]}}
    card.write(tmp_path / "a.safetensors", network.net.state_dict(), about)
    return tmp_path / "a.safetensors"


def test_a_card_says_which_file_it_is_of(written):
    known = card.read(written)
    assert json.loads((written.parent / "a.json").read_text()) == known
    assert known["sha256"] == card.sha256_of(written)
    assert ABOUT.items() <= known.items()
    assert card.is_intact(written)
    content = written.read_bytes()
    written.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert not card.is_intact(written)


@pytest.mark.parametrize(
    "text",
    [
        *(None, "", "[]", "{}", "{", "[" * 100_000),
        '{"sha256": 1, "method": "x"}',
        '{"sha256": "1", "method": "x", "license": 5}',
        '{"sha256": "1", "method": "x", "input": 5}',
    ],
    ids=lambda text: str(text)[:50],
)
def test_what_is_no_card_is_none(text, tmp_path):
    if text is not None:
        (tmp_path / "a.json").write_text(text)
    assert card.read(tmp_path / "a.safetensors") == {}
    assert not card.is_intact(tmp_path / "a.safetensors")


def test_whoever_may_read_the_card_may_read_the_weights(written):
    assert written.stat().st_mode == card.beside(written).stat().st_mode


@pytest.mark.parametrize("share", [True, False])
def test_a_copy_has_its_card_and_replaces_what_is_there(share, written, tmp_path):
    other = tmp_path / "run" / "pretrained.safetensors"
    other.parent.mkdir()
    other.write_bytes(b"before")
    card.copy(written, other, share=share)
    assert card.is_intact(other)
    assert card.read(other) == card.read(written)
    assert sorted(path.name for path in other.parent.iterdir()) == [
        "pretrained.json",
        "pretrained.safetensors",
    ]
    if not share:
        for path in other.parent.iterdir():
            path.write_bytes(b"overwritten")
        assert card.is_intact(written)


def test_weights_are_read_with_their_card(written, caplog):
    """What they saw, their licence and how they were made."""
    found = Backbone(name="fractal_resnet", weights=str(written)).graft(pretrained=range(5))
    assert (found.method, found.license) == ("layerwise", "cc-by-nc-4.0")
    assert found.sha256 == card.read(written)["sha256"]
    assert "has the licence cc-by-nc-4.0" in caplog.text


def test_weights_that_saw_other_images_by_their_card_are_refused(written):
    known = card.read(written)
    known["input"]["std"] = [0.9, 0.9, 0.9]
    card.beside(written).write_text(json.dumps(known))
    with pytest.raises(RegraftError, match=r"trained on images of std \[0.9, 0.9, 0.9\]"):
        Backbone(name="fractal_resnet", weights=str(written)).graft(pretrained=[0])


def test_the_card_of_another_file_is_one_line(written):
    tensors = {name: tensor + 1 for name, tensor in load_file(written).items()}
    known = card.beside(written).read_text()
    card.write(written, {n: t.to(torch.float32) for n, t in tensors.items()}, ABOUT)
    card.beside(written).write_text(known)
    with pytest.raises(RegraftError, match="a.json is the card of another file, or") as error:
        Backbone(name="fractal_resnet", weights=str(written)).graft(pretrained=[0])
    assert "\n" not in str(error.value)
