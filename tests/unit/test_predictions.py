import csv
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from regraft import logits, outputs, predictions
from regraft.calibration import Calibration
from regraft.errors import RegraftError

HOSTILE = ("=1+1", "a,b", 'say "x"', "line\nbreak", "\x1b[31mred", "p_", "-", "ü\udcff", "back\\n")


def said(count=20, classes=HOSTILE, seed=0):
    rng = np.random.default_rng(seed)
    names = tuple(
        f"{kind}{number}" for number, kind in zip(range(count), classes * 9, strict=False)
    )
    return names, rng.integers(len(classes), size=count), rng.dirichlet([1] * len(classes), count)


def test_what_was_written_is_read_whatever_the_names_are(tmp_path):
    written = {"val": said(7), "test": said(20, seed=1)}
    predictions.write(tmp_path / "p.csv", HOSTILE, written)
    classes, splits = predictions.read(tmp_path / "p.csv")
    assert classes == HOSTILE
    assert list(splits) == ["val", "test"]
    for split, (names, labels, shares) in written.items():
        one = splits[split]
        assert one.names == names
        assert one.true.tolist() == labels.tolist()
        assert one.predicted.tolist() == shares.argmax(1).tolist()
        assert np.abs(one.probabilities - shares).max() < 1e-6


def test_of_two_that_were_rounded_to_the_same_the_prediction_stays(tmp_path):
    shares = np.array([[0.3, 0.34999998, 0.35000002]])
    predictions.write(tmp_path / "p.csv", "abc", {"val": (("x",), np.array([0]), shares)})
    assert "0.35,0.35" in (tmp_path / "p.csv").read_text()
    one = predictions.read(tmp_path / "p.csv")[1]["val"]
    assert one.predicted.tolist() == one.units().argmax(1).tolist() == [2]


HEAD = "split,name,true,predicted,p_a,p_b\n"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "holds no probabilities"),
        ("split,name,true,predicted\nval,x,a,a\n", "holds no probabilities"),
        ("split,name,true,predicted,p_a,p_a\nval,x,a,a,1,0\n", "holds no probabilities"),
        (HEAD, "holds no image"),
        (HEAD + "val,x,a,a,0.9,0.1\nval,y,a,a,0.9", "number of columns changed"),
        (HEAD + "val,x,a,a,0.9\n", "2 classes, and 1 probabilities"),
        (HEAD + "val,x,a\n", "a line is cut off"),
        (HEAD + "val,x,a,a,0.9,much\n", "much"),
        (HEAD + "val,x,a,a,nan,0.1\n", "not between 0 and 1"),
        (HEAD + "val,x,a,a,1.5,0.1\n", "not between 0 and 1"),
        (HEAD + "val,x,a,b,0.9,0.1\n", "not the most probable"),
        (HEAD + "val,x,a,c,0.9,0.1\n", "'c'"),
    ],
)
def test_a_damaged_file_is_one_line_that_names_it(text, why, tmp_path):
    path = tmp_path / "p.csv"
    path.write_text(text)
    with pytest.raises(RegraftError, match=why) as error:
        predictions.read(path)
    assert "p.csv" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_missing_file_is_one_line(tmp_path):
    with pytest.raises(RegraftError, match=r"p\.csv is missing"):
        predictions.read(tmp_path / "p.csv")


def test_each_image_keeps_its_own_name_in_whatever_order_the_images_come(tmp_path):
    """As with data.fold, where the test images are not in the order of their names."""
    images = SimpleNamespace(classes=("cat", "dog"), names={"test": ("b.png", "c.png", "a.png")})
    shares = torch.tensor([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]])
    said = {"test": (shares.log(), torch.tensor([0, 1, 1]))}
    outputs.write_predictions(tmp_path, "a", images, said, Calibration(1.0))
    with (tmp_path / predictions.NAME).open(newline="") as file:
        rows = [(row["name"], row["true"], float(row["p_cat"])) for row in csv.DictReader(file)]
    assert rows == [("b.png", "cat", 0.9), ("c.png", "dog", 0.2), ("a.png", "dog", 0.6)]


def test_probabilities_are_calibrated_and_the_logits_beside_them_are_as_they_came(tmp_path):
    images = SimpleNamespace(classes=("cat", "dog"), names={"val": ("a",), "test": ("b", "c")})
    given = torch.tensor([[2.0, -2.0], [0.5, 1.5]]), torch.tensor([0, 1])
    said = {"val": (given[0][:1], given[1][:1]), "test": given}
    outputs.write_predictions(tmp_path, "run 1", images, said, Calibration(4.0))
    test = predictions.read(tmp_path / predictions.NAME)[1]["test"]
    assert test.probabilities == pytest.approx((given[0] / 4).softmax(1).numpy(), abs=1e-6)
    kept = logits.read(tmp_path / logits.NAME)
    assert (kept.run, kept.classes) == ("run 1", ("cat", "dog"))
    assert list(kept.splits) == ["val", "test"]
    assert kept.splits["test"][0].tolist() == given[0].tolist()
    assert kept.splits["test"][1].tolist() == [0, 1]


@pytest.mark.parametrize("bytes_", [b"", b"{}", b"\0" * 64])
def test_damaged_logits_are_one_line(bytes_, tmp_path):
    (tmp_path / logits.NAME).write_bytes(bytes_)
    with pytest.raises(RegraftError, match="logits.safetensors is damaged: "):
        logits.read(tmp_path / logits.NAME)
