import json

import pytest
from omegaconf import OmegaConf
from rich.console import Console
from runs import TINY

from regraft import outlook, rebuild
from regraft.errors import RegraftError

COLLECT = (*TINY, "strategy=collect", "strategy.sizes=3")


def test_a_finished_run_is_measured_as_collect_would(finished_run, tmp_path, monkeypatch):
    plain = finished_run(*TINY).copy(tmp_path / "plain")
    collected = finished_run(*COLLECT).folder
    less = OmegaConf.merge(outlook._shipped(), {"sizes": 3})
    monkeypatch.setattr(outlook, "_shipped", lambda: less)
    config = OmegaConf.load(plain / "config.yaml")
    del config.callbacks["witness"]  # of the tests, and trusted by nobody else
    OmegaConf.save(config, plain / "config.yaml")
    found = outlook.of_run(plain, None)
    assert found.as_dict() == json.loads((collected / "forecast.json").read_text())

    cfg = rebuild.config_of(plain)
    with pytest.raises(RegraftError, match="images are no longer those"):
        rebuild.frozen(cfg, {"train": "another"}, Console(), {})
