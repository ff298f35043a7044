"""`regraft predict` says of a run's images what the run said of them."""

import csv
import json
from pathlib import Path

import families
import numpy as np
import pytest
from jobs import run_job
from PIL import Image
from runs import TINY, stripes

from regraft.escaping import from_csv

CLASSES = ("ant", "=bee", "cat,'s'")


def the_same(folder, data, tmp_path, regraft):
    """What a run has written of its test images, and what is predicted of them in `data`."""
    (tmp_path / "data").symlink_to(data)
    done = regraft("predict", str(folder), "data", "--out", "a.csv")
    assert done.returncode == 0, done.stderr
    said = {from_csv(row["path"]).removeprefix("data/"): row for row in rows(tmp_path / "a.csv")}
    tested = [row for row in rows(folder / "predictions.csv") if row["split"] == "test"]
    assert tested
    for row in tested:
        shares = {from_csv(k)[2:]: float(row[k]) for k in row if k.startswith("p_")}
        answer = said[from_csv(row["name"])]
        told = {from_csv(answer["class"]): float(answer["probability"])}
        for n in range(2, len(shares) + 1):
            told[from_csv(answer[f"class_{n}"])] = float(answer[f"probability_{n}"])
        got = [told[name] for name in shares]
        assert got == pytest.approx([*shares.values()], abs=1e-5)


def rows(path):
    with Path(path).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize(
    "words",
    [
        ["freeze=first", "head=conv_mlp", "features.dtype=float32"],
        ["strategy=finetune", "callbacks=ema"],
        families.cut("vit", "on"),
        ["freeze=first", "freeze.above=drop", "features=off"],
        families.cut("vgg", "on"),
    ],
    ids=["partly cached", "ema", "vit", "dropped", "vgg"],
)
def test_the_probabilities_are_those_of_the_run(words, tmp_path, finished_run, regraft):
    the_same(finished_run(*TINY, *words).folder, stripes(), tmp_path, regraft)


def test_the_probabilities_of_odd_classes_are_those_of_the_run(tmp_path, regraft):
    """Of a trunk that is cached, and of PNG files of any size."""
    rng = np.random.default_rng(0)
    for number, name in enumerate(CLASSES):
        (tmp_path / "pets" / name).mkdir(parents=True)
        for n in range(10):
            pixels = rng.integers(0, 128, (30, 40, 3), dtype=np.uint8)
            pixels[..., number] += 100
            Image.fromarray(pixels).save(tmp_path / "pets" / name / f"{n}.png")
    words = ("data=image_folder", f"data.root={tmp_path / 'pets'}", "logger=none")
    run_job(tmp_path / "run", *words, "trainer.max_epochs=1", "features.dtype=float32")
    the_same(tmp_path / "run", tmp_path / "pets", tmp_path, regraft)


def test_floats_are_predicted_by_the_white_of_the_training(tmp_path, train, regraft):
    """Also one image alone, and from an exported folder: the rule lies in the checkpoint."""
    root = tmp_path / "floats"
    for label, slope in (("a", 0), ("b", 1)):
        (root / label).mkdir(parents=True)
        for index in range(12):
            ramp = np.linspace(40, 200, 32, dtype=np.float32)
            values = np.random.default_rng(index).normal(0, 20, (32, 32)).astype(np.float32)
            values += ramp[:, None] if slope else ramp
            values[0, 0] = 255 if index % 2 else 260.5  # above white
            Image.fromarray(values.clip(0)).save(root / label / f"{index}.tif")
    words = ["backbone.size=32", "trainer.max_epochs=1", "logger=none", "hydra.run.dir=run"]
    words += ["features.dtype=float32"]
    done = train("data=image_folder", f"data.root={root}", *words)
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "run" / "result.json").read_text())["input"]["white"][2] == 255
    assert "white of floats: 255 (they reach" in (tmp_path / "run" / "train.log").read_text()
    the_same(tmp_path / "run", root, tmp_path, regraft)
    done = regraft("export", "run", "--to", "safetensors", "--out", "exported")
    assert done.returncode == 0, done.stderr
    done = regraft("predict", "exported", "data/a/1.tif", "--out", "b.csv")
    assert done.returncode == 0, done.stderr
    [alone] = rows(tmp_path / "b.csv")
    [same] = [row for row in rows(tmp_path / "a.csv") if row["path"] == "data/a/1.tif"]
    assert alone["class"] == same["class"]
    assert float(alone["probability"]) == pytest.approx(float(same["probability"]), abs=1e-4)
