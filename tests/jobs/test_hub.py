"""A job whose weights come from the hub."""

import json

import pytest
import timm
import torch
from hub import serving, use
from runs import TINY, filled
from safetensors.torch import save

from regraft import weights

NAME = "test_resnet.r160_in1k"
REPOSITORY = f"timm/{NAME}"


@pytest.fixture
def server(tmp_path, monkeypatch):
    weights._read.cache_clear()
    torch.manual_seed(3)
    with serving() as server:
        server.files[REPOSITORY, "model.safetensors"] = save(
            timm.create_model("test_resnet").state_dict()
        )
        use(server.endpoint, tmp_path / "hub", monkeypatch)
        yield server
    weights._read.cache_clear()


def test_the_command_line_fetches_trains_and_records_where_the_weights_are_from(
    server, train, tmp_path, monkeypatch
):
    words = [*map(filled, TINY), "backbone=timm", f"backbone.name={NAME}"]

    first = train(*words, "hydra.run.dir=first")
    assert first.returncode == 0, first.stderr
    assert f"fetching {REPOSITORY}" in first.stderr
    said = json.loads((tmp_path / "first" / "result.json").read_text())["weights"]
    assert said["source"] == REPOSITORY
    assert said["license"] == "apache-2.0"
    assert len(said["sha256"]) == 64

    weights._read.cache_clear()
    asked = len(server.asked)
    assert train(*words, "hydra.run.dir=second").returncode == 0
    assert len(server.asked) == asked

    weights._read.cache_clear()
    use(server.endpoint, tmp_path / "empty", monkeypatch)
    server.status = 500
    failed = train(*words, "hydra.run.dir=third")
    assert failed.returncode == 1
    assert failed.stderr.count("\n") == 1
    assert f"error: {REPOSITORY}: {server.endpoint} answered with HTTP status 500" in failed.stderr
