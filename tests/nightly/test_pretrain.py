"""What docs/pretraining.md claims, in small."""

from jobs import run_job
from scipy.stats import binomtest

from regraft.jobs import read_answers


def test_layer_by_layer_beats_random_weights_where_labels_are_few(tmp_path, monkeypatch):
    """The main claim: four epochs, one seed, frozen features."""
    monkeypatch.setenv("REGRAFT_CACHE", str(tmp_path / "cache"))
    words = ("logger=none", "data.per_class=5", "min_steps=100", "backbone.size=32")
    run_job(tmp_path / "random", *words, "pretrain=random")
    run_job(tmp_path / "layerwise", *words, "pretrain=layerwise", "pretrain.epochs=4")
    random, learned = (
        read_answers(tmp_path / name / "predictions.csv").correct
        for name in ("random", "layerwise")
    )
    won, lost = int((learned & ~random).sum()), int((random & ~learned).sum())
    assert binomtest(won, won + lost).pvalue < 0.001  # McNemar's exact test
    assert learned.mean() - random.mean() > 0.1
