import json
from io import StringIO

import numpy as np
import pytest
import torch
from learning_curves import judged, points_on
from rich.console import Console
from sized_sweeps import add, fill
from typer.testing import CliRunner

from regraft import forecast_file, rebuild
from regraft.batches import Features
from regraft.cli import app
from regraft.collect import curve_of
from regraft.errors import RegraftError
from regraft.forecast import forecast, with_classes
from regraft.outlook import show


def told(folder, target=None) -> str:
    show(folder, Console(file=(text := StringIO()), width=100), target=target, as_json=False)
    return text.getvalue()


def measured(folder):
    """A job that has forecast already."""
    points = points_on(0.05, 0.4, full=20, noise=0.02)
    found = forecast(points, 0.9, val_images=105, num_classes=3)
    forecast_file.write(with_classes(found, judged(), ("cat", "owl", "[pug]")), folder)
    return found


def test_what_a_run_measured_once_answers_for_another_target(tmp_path):
    before = measured(folder := add(tmp_path, 20, 0, 0.86))
    text = told(folder, 0.92)
    found = json.loads((folder / "forecast.json").read_text())
    assert found["target_acc"] == 0.92
    assert found["points"] == before.as_dict()["points"]
    assert found["per_class_total"]["estimate"] > before.per_class_total["estimate"]
    for said in (
        found["words"],
        found["gains_words"],
        "[pug]",
        "cannot say",
        "owl: 18 %",
        "n^-0.50",
    ):
        assert said in " ".join(text.split())


@pytest.mark.parametrize("damage", ["", "{}", '{"points": [1]}', '{"points": [], "by_class": []}'])
def test_what_cannot_be_read_is_measured_again(tmp_path, damage):
    (tmp_path / "forecast.json").write_text(damage)
    assert forecast_file.read(tmp_path, 0.9) is None


def test_a_sweep_leaves_one_file_and_its_pictures(tmp_path):
    fill(tmp_path, "strategy=finetune")
    fill(tmp_path, "strategy=scratch", less=0.3)
    text = told(tmp_path, 0.9)
    contenders = json.loads((tmp_path / "forecast.json").read_text())["contenders"]
    assert list(contenders) == ["finetune", "scratch"]
    assert contenders["scratch"]["words"] in " ".join(text.split())
    assert (tmp_path / "learning_curve.png").read_bytes().startswith(b"\x89PNG")


def test_the_command_prints_json_and_refuses_in_one_line(tmp_path):
    measured(folder := add(tmp_path, 20, 0, 0.86))
    done = CliRunner().invoke(app, ["forecast", str(folder), "--target", "0.92", "--json"])
    assert json.loads(done.stdout)["target_acc"] == 0.92
    for target in ("1.2", "0", "nan"):
        done = CliRunner().invoke(app, ["forecast", str(folder), "--target", target])
        assert done.exit_code == 1
        assert done.stderr.startswith("error: --target=") and done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("data: {", "cannot be read"),
        ("- 1\n", "is no config of a run"),
        ("{data: {token: '***'}, backbone: {}, trainer: {}}", "holds a secret"),
        ("{data: {_target_: os.system}, backbone: {}, trainer: {}}", "not from a trusted module"),
    ],
)
def test_a_config_that_is_not_to_be_built_is_refused(tmp_path, text, words):
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(RegraftError, match=words):
        rebuild.config_of(tmp_path)


@pytest.mark.parametrize(("value", "words"), [(1.0, "all images are the same"), (np.nan, "finite")])
def test_features_that_say_nothing_are_refused(value, words):
    rows, labels = torch.full((20, 4), value), torch.arange(20) % 2
    data = Features(dict.fromkeys(("train", "val", "test"), (rows, labels)), 8)

    class Two:
        classes = ("cat", "owl")

    with pytest.raises(RegraftError, match=words):
        curve_of(None, Two(), data, None, None)


def test_the_best_of_several_is_the_highest_now(tmp_path):
    high = forecast(points_on(0.02, 0.3, full=20), 0.99)
    low = forecast(points_on(0.3, 0.3, full=20), 0.99)
    assert forecast_file.best({"low": low, "high": high}) == "high"
