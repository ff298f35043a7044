import json

import pytest
from jobs import run_job

from regraft import card


@pytest.mark.slow
def test_a_trunk_that_was_trained_with_labels_has_a_card_too(tmp_path):
    words = ("logger=none", "backbone=sigmoid_mlp", "strategy=scratch", "trainer.max_epochs=1")
    run_job(tmp_path / "run", *words, "callbacks=export_trunk")
    trunk = tmp_path / "run" / "trunk.safetensors"
    known = card.read(trunk)
    assert card.is_intact(trunk)
    assert (known["method"], known["backbone"], known["seed"]) == ("supervised", "sigmoid_mlp", 0)
    assert (known["data"]["name"], known["data"]["images"]) == ("digits", 1259)
    assert known["settings"]["trainer"]["max_epochs"] == 1

    run_job(
        tmp_path / "next",
        "logger=none",
        "backbone=sigmoid_mlp",
        "trainer.max_epochs=1",
        f"backbone.weights='{trunk}'",
        "data.per_class=5",
    )
    found = json.loads((tmp_path / "next" / "result.json").read_text())["weights"]
    assert (found["method"], found["sha256"]) == ("supervised", known["sha256"])
