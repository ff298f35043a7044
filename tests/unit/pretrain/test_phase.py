"""The phase before a training with labels, as a job has it."""

import pytest
from jobs import composed, run_job

from regraft.backbone import Backbone
from regraft.errors import RegraftError

FAST = ("logger=none", "data.per_class=5", "trainer.max_epochs=1", "backbone=sigmoid_mlp")
LAYERWISE = (*FAST, "pretrain=layerwise", "pretrain.epochs=1")


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("REGRAFT_CACHE", str(tmp_path / "cache"))


def refused(match, folder, *words):
    with pytest.raises(RegraftError, match=match) as error:
        run_job(folder, *words)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("words", "match"),
    [
        (["strategy=scratch"], "pretrain=layerwise would be for nothing: .*strategy=finetune"),
        (["pretrain.start=weights"], "with backbone.weights=random: there are none to start from"),
        (["pretrain.unlabeled=/nowhere"], "pretrain.unlabeled=/nowhere: no such folder"),
        (["strategy=auto"], "strategy=auto measures the weights that there are"),
        (["pretrain.corruption=1.5"], "pretrain.corruption=1.5: must be less than 1"),
        (["+pretrain.corupt=0.5"], "no such option; did you mean 'corruption'"),
    ],
)
def test_what_cannot_be_is_one_line(words, match, tmp_path):
    refused(match, tmp_path / "run", *LAYERWISE, *words)


def test_a_folder_without_images_is_one_line(tmp_path):
    (tmp_path / "empty").mkdir()
    refused(
        "0 of its 0 image files can be learned from",
        tmp_path / "run",
        *LAYERWISE,
        f"pretrain.unlabeled='{tmp_path / 'empty'}'",
    )


def test_other_methods_that_cannot_be_are_one_line(tmp_path, monkeypatch):
    words = ("logger=none", "backbone.weights=random")
    refused("choose backbone=sigmoid_mlp", tmp_path / "rbm", *words, "pretrain=rbm")
    monkeypatch.setitem(__import__("sys").modules, "lightly.loss", None)
    refused(r"pip install 'regraft\[ssl\]'", tmp_path / "simclr", *words, "pretrain=simclr")


def test_memory_that_runs_out_names_the_key(tmp_path, monkeypatch):
    def run_out(*_):
        raise MemoryError("out of memory")

    monkeypatch.setattr("regraft.pretrain.layerwise.Layerwise.learn", run_out)
    refused("64 images per batch; add pretrain.batch_size=32", tmp_path / "run", *LAYERWISE)
    assert not [*(tmp_path / "cache" / "pretrained").glob("[0-9a-f]*")]


@pytest.mark.parametrize(
    "error", [FileNotFoundError(2, "no such image"), NotImplementedError("op")]
)
def test_an_error_of_the_learning_is_none_of_the_cache(error, tmp_path, monkeypatch):
    def fail(*_):
        raise error

    monkeypatch.setattr("regraft.pretrain.layerwise.Layerwise.learn", fail)
    with pytest.raises(type(error)) as raised:
        run_job(tmp_path / "run", *LAYERWISE)
    assert raised.value is error
    assert not [*(tmp_path / "cache" / "pretrained").glob("[0-9a-f]*")]


def test_weights_that_cannot_be_kept_name_the_variable(tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("regraft.pretrain.layerwise.Layerwise.learn", lambda *_: [])
    monkeypatch.setattr("regraft.card.write", fail)
    refused("cannot be kept .*No space.*; set REGRAFT_CACHE", tmp_path / "run", *LAYERWISE)


def test_options_without_a_phase_are_nothing_but_weights(tmp_path):
    plain = composed(tmp_path / "plain")
    assert composed(tmp_path / "none", "pretrain=none") == plain
    assert plain.pretrain is None
    for option, weights in (("random", "random"), ("published", "pretrained")):
        cfg = composed(tmp_path / option, f"pretrain={option}")
        assert (cfg.backbone.weights, cfg.pretrain) == (weights, None)
    assert composed(tmp_path / "x", "pretrain=random", "backbone.weights=x").backbone.weights == "x"


def test_the_doctor_looks_at_what_will_be_learned(tmp_path):
    from regraft.doctor.job import assemble

    job = assemble(composed(tmp_path / "a", "pretrain=layerwise", "backbone.size=32"), tmp_path)
    assert isinstance(job.backbone, Backbone) and job.pretrained is None
    with pytest.raises(RegraftError, match="for nothing"):
        assemble(composed(tmp_path / "b", "pretrain=layerwise", "strategy=scratch"), tmp_path)
