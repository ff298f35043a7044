import base64
import io
import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from regraft import mistakes, outputs, pictures
from regraft.calibration import Calibration
from regraft.data.transforms import UnreadableImageError


def one(name="a", confidence=0.9):
    return mistakes.Mistake(3, name, "cat", "dog", confidence)


def test_what_is_written_is_read_back_with_a_small_image(tmp_path):
    pixels = np.zeros((300, 200, 3), np.uint8)
    pixels[:, :100] = (250, 10, 10)
    mistakes.write(tmp_path / "m.json", [(one("</script>\udcff\n"), pixels)])
    [shown] = mistakes.read(tmp_path / "m.json")

    assert shown[:4] == ("</script>\udcff\n", "cat", "dog", 0.9)
    with Image.open(io.BytesIO(base64.b64decode(shown.image))) as image:
        assert image.size == (64, 96)
        red = image.getpixel((5, 50))
    assert red == pytest.approx((250, 10, 10), abs=12)


@pytest.mark.parametrize("content", ["", "{}", "[1]", "null", '[{"name": 1}]', "[" * 10_000])
def test_a_damaged_file_is_none(content, tmp_path):
    (tmp_path / "m.json").write_text(content)
    assert mistakes.read(tmp_path / "m.json") is None
    assert mistakes.read(tmp_path / "missing") is None


def test_no_more_are_read_than_are_written(tmp_path):
    row = {"name": "a", "true": "b", "predicted": "c", "confidence": 1, "image": None}
    (tmp_path / "m.json").write_text(json.dumps([row] * 1000))
    assert len(mistakes.read(tmp_path / "m.json")) == mistakes.MOST


class Decoder:
    """Test images, white, that count how often they are decoded; `gone` ones cannot be."""

    def __init__(self, gone):
        self.decoded, self.gone = [], gone

    def __getitem__(self, index):
        if self.gone:
            raise UnreadableImageError("a.png: no such file")
        self.decoded.append(index)
        return torch.full((3, 8, 8), 255, dtype=torch.uint8), 0


@pytest.mark.parametrize("gone", [False, True])
def test_each_mistake_is_decoded_once_and_wandb_gets_the_rest_without_them(
    gone, tmp_path, monkeypatch
):
    monkeypatch.setattr(pictures, "draw", lambda *_: None)
    test, logged = Decoder(gone), {}
    names = {"val": ["v0", "v1"], "test": ["t0", "t1"]}
    images = SimpleNamespace(
        classes=("a", "b"), names=names, datasets={"test": test}, judged=("val", "test")
    )
    record = SimpleNamespace(
        job=SimpleNamespace(folder=tmp_path, sweep=None),
        result={"id": "a", "plan": [{"stage": "stem"}]},
        tell=lambda something: something(SimpleNamespace(log=logged.update)),
    )
    split = torch.tensor([[0.9, 0.1], [0.8, 0.2]]), torch.tensor([1, 0])
    outputs.write(record, images, {"val": split, "test": split}, Calibration(1.0))
    assert test.decoded == ([] if gone else [0])
    assert (tmp_path / mistakes.FILE).is_file() is not gone
    assert ("test/confident_mistakes" in logged) is not gone
    assert {"plan", "confusion_matrix"} <= logged.keys()


def test_kept_are_those_that_the_model_was_most_sure_of_and_wrong_about(tmp_path, monkeypatch):
    monkeypatch.setattr(pictures, "draw", lambda *_: None)
    sure = torch.rand(60, generator=torch.Generator().manual_seed(0)) / 2 + 0.5
    split = torch.stack([sure, 1 - sure], 1).log(), torch.arange(60) % 2
    names = {name: [f"{name}{number}" for number in range(60)] for name in ("val", "test")}
    datasets = {"test": Decoder(False)}
    images = SimpleNamespace(
        classes=("a", "b"), names=names, datasets=datasets, judged=("val", "test")
    )
    job = SimpleNamespace(folder=tmp_path, sweep=None)
    record = SimpleNamespace(job=job, result={"id": "a"}, tell=lambda something: None)
    outputs.write(record, images, {"val": split, "test": split}, Calibration(1.0))
    kept = mistakes.read(tmp_path / mistakes.FILE)
    wrong = {f"test{number}": float(sure[number]) for number in range(1, 60, 2)}
    surest = sorted(wrong, key=lambda name: -wrong[name])[: mistakes.MOST]

    assert [shown.name for shown in kept] == surest
    assert all(wrong[shown.name] == pytest.approx(shown.confidence, abs=1e-4) for shown in kept)
    assert all(shown.image for shown in kept)
    assert (tmp_path / mistakes.FILE).stat().st_size < 64_000
