"""The course's example at the size of a toy: several architectures on one data set, then their
ensemble; and a soup of two runs of one architecture."""

import json

import families
import numpy as np
import pytest
import torch
from rich.console import Console
from runs import TINY

from regraft import predictions, trained
from regraft.backbone import Backbone
from regraft.ensemble.show import show
from regraft.errors import RegraftError

ASKED = {"where": {}, "method": "all", "soup": False, "as_json": True}


@pytest.mark.usefixtures("trusting")
def test_three_architectures_and_one_command(tmp_path, capsys, finished_run):
    runs = [
        finished_run(*TINY, *families.cut(family, "on"))
        for family in ("vgg", "inception", "resnet")
    ]
    capsys.readouterr()
    show([run.folder for run in runs], Console(), **ASKED, out=tmp_path)
    told = json.loads(capsys.readouterr().out)
    for run in runs:  # as each has judged itself
        [one] = [one for one in told["members"] if (tmp_path / one["folder"]).samefile(run.folder)]
        name, size = run.result["backbone"], run.result["input"]["size"][0]
        assert {f"backbone.name={name}", f"backbone.size={size}"} <= {*one["name"].split(", ")}
        for split in ("val", "test"):
            own = run.result["metrics"][f"{split}/acc"]
            assert one["metrics"][f"{split}/acc"] == pytest.approx(own, abs=1e-6)
    assert len(told["members"]) == 3
    with pytest.raises(RegraftError, match="--soup: .* began with backbone "):
        show([run.folder for run in runs], Console(), **ASKED | {"soup": True}, out=tmp_path)


@pytest.mark.usefixtures("trusting")
def test_a_soup_is_a_run(tmp_path, capsys, finished_run):
    """Of a run and its copy, whose mean is the run itself."""
    run = finished_run(*TINY, "strategy=finetune")
    for number in "01":
        run.copy(tmp_path / number)
    before = torch.load(tmp_path / "0/checkpoints/best.ckpt", weights_only=True)["state_dict"]
    capsys.readouterr()
    show([tmp_path], Console(), **ASKED | {"soup": True}, out=None)
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
    [own, one] = (predictions.read(tmp_path / f / predictions.NAME)[1] for f in ("soup", "0"))
    for split in ("val", "test"):
        assert own[split].names == one[split].names
        assert np.abs(own[split].probabilities - one[split].probabilities).max() < 1e-4
        assert result["metrics"][f"{split}/acc"] == told["metrics"][f"{split}/acc"]
    backbone = Backbone(name="fractal_resnet", weights=str(tmp_path / "soup"))
    backbone.graft(pretrained=range(len(backbone.stages)))
    for name, tensor in backbone.net.state_dict().items():
        assert torch.equal(tensor, before[f"backbone.net.{name}"])

    listing = tmp_path / "0" / "result.json"
    listing.write_text(listing.read_text().replace('"val": "', '"val": "0'))
    with pytest.raises(RegraftError, match="the images are no longer those that"):
        show([tmp_path], Console(), **ASKED | {"soup": True}, out=None)
