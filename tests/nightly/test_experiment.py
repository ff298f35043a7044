"""Every strategy on every family, and an average over a long training."""

import json

import families
import pytest
from jobs import run_job

from regraft.errors import RegraftError
from regraft.paths import conf_folder

STRATEGIES = sorted(path.stem for path in (conf_folder() / "strategy").glob("*.yaml"))
FAST = ["debug=fast", "logger=none", "data.per_class=5"]


@pytest.mark.parametrize("family", families.FAMILIES)
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_strategy_runs_on_every_family(strategy, family, tmp_path):
    words = [f"strategy={strategy}", *families.words(family), *FAST]
    if (family, strategy) == ("vit", "partial"):
        with pytest.raises(RegraftError, match="needs one feature map"):
            run_job(tmp_path / "conv_mlp", *words)
        words.append("head=mlp")
    run_job(tmp_path, *words)

    found = json.loads((tmp_path / "result.json").read_text())
    assert found["status"] == "finished"
    assert 0 <= found["metrics"]["test/acc"] <= 1
    trained = found["cost"]["params_trained"]
    if strategy in ("feature_extraction", "collect"):
        assert trained < found["cost"]["params_total"] / 2
    if strategy in ("finetune", "scratch", "lp_ft", "gradual"):
        assert trained == found["cost"]["params_total"]


def test_a_moving_average_does_a_short_training_no_harm(tmp_path):
    """With a decay of 0.99 from the start, half of the first weights would be left."""
    words = ["logger=none", "strategy=finetune", "data.per_class=5", "trainer.max_epochs=20"]
    plain = run_job(tmp_path / "plain", *words)
    averaged = run_job(tmp_path / "ema", *words, "callbacks=ema")
    assert averaged > plain - 0.05
