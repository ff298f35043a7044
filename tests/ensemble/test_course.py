"""The course's example at the size of a toy: several architectures fine-tuned on one data set, then
their ensemble; and a soup of two runs of one architecture."""

import json
import shutil

import families  # noqa: F401, registers a small VGG with timm
import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from jobs import run_job
from rich.console import Console

from regraft import predictions, trained
from regraft.backbone import Backbone
from regraft.ensemble.show import show
from regraft.errors import RegraftError
from regraft.jobs import read_jobs
from regraft.paths import conf_folder

FEW = ["data=fractals", "data.classes=4", "data.train=6", "data.val=6", "data.test=8"]
QUICK = [*FEW, "trainer.max_epochs=1", "trainer.accelerator=cpu", "logger=none"]
SIZES = {"tiny_vgg": 32, "inception_v3": 75, "test_resnet": 64}
ASKED = {"where": {}, "method": "all", "out": None, "soup": False, "as_json": True}


def test_the_sweep_fine_tunes_vgg_inception_and_resnet():
    with initialize_config_dir(str(conf_folder()), version_base="1.3"):
        cfg = compose("config", ["sweep=ensemble"], return_hydra_config=True)
    assert cfg.hydra.sweeper.params == {"backbone": "vgg16,inception_v3,resnet50"}
    assert cfg.strategy.name == "finetune"


@pytest.mark.slow
def test_three_architectures_and_one_command(tmp_path, capsys):
    for number, (name, size) in enumerate(SIZES.items()):
        words = ["backbone=timm", f"backbone.name={name}", f"backbone.size={size}"]
        words += ["sweep=ensemble", "backbone.weights=random", *QUICK]
        run_job(tmp_path / str(number), *words, sweep=True)
    capsys.readouterr()
    show([tmp_path], Console(), **ASKED)
    told = json.loads(capsys.readouterr().out)
    assert sorted(one["name"] for one in told["members"]) == [
        "backbone.name=inception_v3, backbone.size=75",
        "backbone.name=test_resnet, backbone.size=64",
        "backbone.name=tiny_vgg, backbone.size=32",
    ]
    for job in read_jobs(tmp_path):  # as each run has judged itself
        [one] = [m for m in told["members"] if m["folder"] == job.folder.name]
        assert one["metrics"]["val/acc"] == pytest.approx(job.metrics["val/acc"], abs=1e-6)
        assert one["metrics"]["test/acc"] == pytest.approx(job.metrics["test/acc"], abs=1e-6)
    with pytest.raises(RegraftError, match="--soup: .* began with backbone "):
        show([tmp_path], Console(), **ASKED | {"soup": True})


@pytest.mark.slow
def test_a_soup_is_a_run(tmp_path, capsys):
    """Of a run and its copy, whose mean is the run itself."""
    run_job(tmp_path / "0", "strategy=finetune", *QUICK, sweep=True)
    shutil.copytree(tmp_path / "0", tmp_path / "1")
    before = torch.load(tmp_path / "0/checkpoints/best.ckpt", weights_only=True)["state_dict"]
    capsys.readouterr()
    show([tmp_path], Console(), **ASKED | {"soup": True})
    told = json.loads(capsys.readouterr().out)["tried"]["soup"]
    assert told["cost"]["passes"] == 1
    assert told["weights"] == {"0": 0.5, "1": 0.5}

    made = trained.load(tmp_path / "soup")
    assert all(
        torch.equal(tensor, before[name]) for name, tensor in made.network.state_dict().items()
    )
    assert made.calibration.temperature > 0
    result = json.loads((tmp_path / "soup/result.json").read_text())
    assert (result["status"], result["soup"]) == ("finished", ["0", "1"])
    [own, run] = (predictions.read(tmp_path / f / predictions.NAME)[1] for f in ("soup", "0"))
    for split in ("val", "test"):
        assert own[split].names == run[split].names
        assert np.abs(own[split].probabilities - run[split].probabilities).max() < 1e-4
        assert result["metrics"][f"{split}/acc"] == told["metrics"][f"{split}/acc"]
    backbone = Backbone(name="fractal_resnet", weights=str(tmp_path / "soup"))
    backbone.graft(pretrained=range(len(backbone.stages)))
    for name, tensor in backbone.net.state_dict().items():
        assert torch.equal(tensor, before[f"backbone.net.{name}"])

    listing = tmp_path / "0" / "result.json"
    listing.write_text(listing.read_text().replace('"val": "', '"val": "0'))
    with pytest.raises(RegraftError, match="the images are no longer those that"):
        show([tmp_path], Console(), **ASKED | {"soup": True})
