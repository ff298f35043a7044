"""Trained with and without the cache: every family, with all stages kept and with some."""

import json

import families
import pytest
from jobs import run_job


@pytest.mark.parametrize("freeze", [["freeze=all"], ["freeze=first", "freeze.stages=2"]])
@pytest.mark.parametrize("family", families.FAMILIES)
def test_a_training_goes_the_same_way_with_and_without_the_cache(
    family, freeze, tmp_path, monkeypatch
):
    monkeypatch.setenv("REGRAFT_CACHE", str(tmp_path / "cache"))
    words = [*families.words(family), "logger=none", *freeze, "data.per_class=3"]
    words += ["trainer.max_epochs=2", "loader.batch_size=10", "optimizer=sgd", "head.dropout=0"]
    for use in ("off", "on"):
        run_job(tmp_path / use, *words, f"features={use}", "features.dtype=float32")

    off, on = (json.loads((tmp_path / use / "result.json").read_text()) for use in ("off", "on"))
    assert (off["cost"]["cache"], on["cost"]["cache"]) == ("off", "miss")
    histories = [(tmp_path / use / "metrics.csv").read_text().split() for use in ("off", "on")]
    for one, other in zip(*histories, strict=True):
        for a, b in zip(one.split(","), other.split(","), strict=True):
            assert a == b or float(a) == pytest.approx(float(b), rel=1e-4, abs=1e-5)
    assert on["metrics"] == pytest.approx(off["metrics"], rel=1e-4, abs=1e-5)
