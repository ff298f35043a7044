"""Which threshold holds: the stored one, one that is given, or one of a wanted precision."""

from pathlib import Path

import numpy as np
import pytest
import torch
from saved import run

from regraft import logits, predictions, trained
from regraft import threshold as thresholds
from regraft.calibration import Calibration, best_temperature, logits_of, temperature, threshold
from regraft.errors import RegraftError

CLASSES = ("=ant", "bee,s", "cat")


@pytest.fixture(scope="module")
def images():
    """Logits of 60 validation images, of which the surer ones are told right, and labels."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 60)
    shares = rng.dirichlet([0.4] * 3, 60)
    shares[np.arange(60), labels] += 0.5
    shares /= shares.sum(1, keepdims=True)
    return np.log(shares).astype(np.float32), labels


@pytest.fixture
def predicted(tmp_path, images):
    """A run that has kept what it gave for these images; of the test images, nothing is read."""
    given, labels = images
    stored = {"temperature": temperature(given, labels), "threshold": 0.7, "precision": 0.9}
    run(tmp_path, classes=CLASSES, calibration=stored, id="run 1")
    kept = {"val": (given, labels), "test": (given, 2 - labels)}
    logits.write(tmp_path / logits.NAME, "run 1", CLASSES, kept)
    return tmp_path, given, labels, Calibration(**stored)


@pytest.fixture
def of_before(tmp_path, images):
    """A run of before, which has neither an id nor logits: predictions.csv is as they came."""
    labels, shares = images[1], np.exp(images[0])
    lines = ['split,name,true,predicted,p_=ant,"p_bee,s",p_cat']
    names = ("'=ant", '"bee,s"', "cat")
    for split in ("val", "test"):
        for label, row in zip(labels if split == "val" else 2 - labels, shares, strict=True):
            said = names[int(row.argmax())]
            lines.append(f"{split},x,{names[label]},{said}," + ",".join(f"{p:.6f}" for p in row))
    stored = {"threshold": 0.7, "precision": 0.9}
    stored = {"temperature": best_temperature(logits_of(shares), labels), **stored}
    run(tmp_path, classes=CLASSES, calibration=stored)
    (tmp_path / "predictions.csv").write_text("\n".join(lines) + "\n")
    return tmp_path, logits_of(shares), labels, Calibration(**stored)


def chosen(folder, precision=None, threshold=None):
    return thresholds.chosen(trained.load(folder), precision=precision, threshold=threshold)


@pytest.mark.parametrize("which", ["predicted", "of_before"])
def test_a_wanted_precision_is_reached_on_the_validation_images(which, request):
    folder, given, labels, stored = request.getfixturevalue(which)
    found = chosen(folder, precision=0.8)
    calibrated = stored.apply(given)
    right = calibrated.argmax(1) == labels
    assert found.threshold == pytest.approx(threshold(calibrated.max(1), right, 0.8), abs=1e-5)
    assert (found.temperature, found.precision) == (stored.temperature, 0.8)
    kept = calibrated.max(1) >= found.threshold - 1e-5
    assert right[kept].mean() >= 0.8
    assert 0 < kept.sum() < 60


@pytest.mark.parametrize("which", ["predicted", "of_before"])
def test_without_a_word_it_is_the_stored_threshold(which, request):
    folder, *_, stored = request.getfixturevalue(which)
    assert chosen(folder) == stored
    for name in (logits.NAME, predictions.NAME):
        (folder / name).unlink(missing_ok=True)
    assert chosen(folder, precision=0.9) == stored  # which was found for it
    assert chosen(folder, threshold=0.3) == Calibration(stored.temperature, 0.3)


def test_what_cannot_be_found_is_one_line(predicted):
    folder, given, labels, _ = predicted
    with pytest.raises(RegraftError, match="leave one out"):
        chosen(folder, precision=0.95, threshold=0.5)
    path = folder / logits.NAME
    logits.write(path, "run 1", ("=ant", "bee,s", "dog"), {"val": (given, labels)})
    with pytest.raises(RegraftError, match="logits.safetensors is of another run"):
        chosen(folder, precision=0.95)
    path.write_bytes(b"nonsense")
    with pytest.raises(RegraftError, match="logits.safetensors is damaged: "):
        chosen(folder, precision=0.95)
    path.unlink()
    with pytest.raises(RegraftError, match="needs a finished run with its logits.safetensors"):
        chosen(folder, precision=0.95)


def test_what_cannot_be_found_of_a_run_of_before_is_one_line(of_before):
    folder, *_ = of_before
    path = folder / "predictions.csv"
    text = path.read_text()
    path.write_text(text.replace("cat", "dog"))
    with pytest.raises(RegraftError, match="predictions.csv is of another run"):
        chosen(folder, precision=0.95)
    path.write_text("\n".join([text.splitlines()[0], "val,x,cat,cat,0.3,0.3,nonsense"]))
    with pytest.raises(RegraftError, match="predictions.csv is damaged: "):
        chosen(folder, precision=0.95)
    path.unlink()
    with pytest.raises(RegraftError, match="needs a finished run with its predictions.csv"):
        chosen(folder, precision=0.95)


def test_a_precision_that_no_threshold_reaches_is_one_line(predicted):
    folder, given, *_ = predicted
    wrong = (given.argmax(1) + 1) % 3
    logits.write(folder / logits.NAME, "run 1", CLASSES, {"val": (given, wrong)})
    with pytest.raises(RegraftError, match="--precision 0.95: no threshold reaches it on the 60 "):
        chosen(folder, precision=0.95)


def test_predictions_of_another_network_are_refused(of_before):
    folder, given, labels, _ = of_before
    rows = (("x",) * 60, labels, np.exp(given)[:, ::-1])
    predictions.write(folder / "predictions.csv", CLASSES, {"val": rows})
    with pytest.raises(RegraftError, match="predictions.csv is of another run than the network"):
        chosen(folder, precision=0.95)


def test_another_run_of_the_same_temperature_is_refused(predicted):
    """A temperature that is fitted again would be the same; two runs of one seed have that."""
    folder, given, labels, _ = predicted
    logits.write(folder / logits.NAME, "run 2", CLASSES, {"val": (given, labels)})
    with pytest.raises(RegraftError, match="logits.safetensors is of another run than the network"):
        chosen(folder, precision=0.8)


def test_the_run_counts_and_not_its_temperature(predicted):
    """As a temperature of another rule, or of another version of scipy."""
    folder, *_ = predicted
    path = folder / trained.BEST
    stored = torch.load(path, weights_only=True)
    stored["regraft"]["calibration"]["temperature"] *= 1.5
    torch.save(stored, path)
    assert chosen(folder, precision=0.8).precision == 0.8


def test_the_run_is_found_from_inside_its_folder(predicted, monkeypatch):
    folder, *_ = predicted
    monkeypatch.chdir(folder / "checkpoints")
    assert chosen(Path("best.ckpt"), precision=0.8).precision == 0.8


def test_no_number_is_no_threshold(predicted):
    with pytest.raises(RegraftError, match="--threshold nan: give a share between 0 and 1"):
        chosen(predicted[0], threshold=float("nan"))


@pytest.mark.parametrize("which", ["predicted", "of_before"])
def test_a_checkpoint_that_is_not_the_judged_one_has_no_predictions(which, request):
    folder, *_ = request.getfixturevalue(which)
    stored = torch.load(folder / trained.BEST, weights_only=True)
    del stored["regraft"]["calibration"]
    torch.save(stored, folder / "checkpoints" / "last.ckpt")
    with pytest.raises(RegraftError, match="needs a finished run"):
        chosen(folder / "checkpoints" / "last.ckpt", precision=0.95)
