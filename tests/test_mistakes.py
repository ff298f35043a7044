import base64
import io
import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from jobs import run_job
from PIL import Image

from regraft import mistakes, outputs, pictures
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


@pytest.mark.slow
def test_a_job_keeps_the_test_images_that_it_was_most_sure_of_and_wrong_about(tmp_path):
    run_job(tmp_path, "data.per_class=3", "trainer.max_epochs=1", "logger=none", sweep=True)
    kept = mistakes.read(tmp_path / mistakes.FILE)
    lines = (tmp_path / "predictions.csv").read_text().splitlines()[1:]
    rows = [line.split(",") for line in lines if line.startswith("test,")]
    wrong = {row[1]: max(map(float, row[4:])) for row in rows if row[2] != row[3]}
    surest = sorted(wrong.values(), reverse=True)[: mistakes.MOST]

    assert [shown.confidence for shown in kept] == pytest.approx(surest, abs=1e-4)
    assert all(wrong[shown.name] == pytest.approx(shown.confidence, abs=1e-4) for shown in kept)
    assert all(shown.image for shown in kept)
    assert (tmp_path / mistakes.FILE).stat().st_size < 64_000


@pytest.mark.slow
def test_a_job_whose_images_have_gone_meanwhile_keeps_its_result(tmp_path, monkeypatch, caplog):
    def gone(images, index):
        raise UnreadableImageError("a.png: no such file")

    monkeypatch.setattr(outputs, "_pixels", gone)
    run_job(tmp_path, "data.per_class=3", "trainer.max_epochs=1", "logger=none", sweep=True)
    assert json.loads((tmp_path / "result.json").read_text())["status"] == "finished"
    assert mistakes.read(tmp_path / mistakes.FILE) is None
    assert "mistakes are not kept: a.png: no such file" in caplog.text


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
    images = SimpleNamespace(classes=("a", "b"), names=names, datasets={"test": test})
    record = SimpleNamespace(
        job=SimpleNamespace(folder=tmp_path, sweep=None),
        result={"plan": [{"stage": "stem"}]},
        tell=lambda something: something(SimpleNamespace(log=logged.update)),
    )
    split = torch.tensor([[0.9, 0.1], [0.8, 0.2]]), torch.tensor([1, 0])
    outputs.write(record, images, {"val": split, "test": split})
    assert test.decoded == ([] if gone else [0])
    assert (tmp_path / mistakes.FILE).is_file() is not gone
    assert ("test/confident_mistakes" in logged) is not gone
    assert {"plan", "confusion_matrix"} <= logged.keys()
