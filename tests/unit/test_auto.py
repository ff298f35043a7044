"""strategy=auto: measured, then composed anew; what somebody has chosen stays."""

import json

import pytest
from jobs import composed
from omegaconf import OmegaConf, open_dict
from rich.console import Console

from regraft import auto, tracking
from regraft.advice.recommend import Choice
from regraft.errors import RegraftError

CHOICES = (
    Choice("strategy=finetune", "one"),
    Choice("head=linear", "two"),
    Choice("optimizer.backbone_ratio=1 optimizer.stage_decay=1", "three"),
    Choice("trainer.max_epochs=40 min_steps=300", "four"),
)


def decided(folder, *words):
    composed(folder, "strategy=auto", *words)
    return auto._composed(auto._open(CHOICES))


def test_the_job_becomes_what_was_recommended(tmp_path):
    cfg, choices = decided(tmp_path, "data=digits", "seed=3")
    assert cfg.strategy._target_ == "regraft.plan.Strategy" and cfg.strategy.quadrant is None
    assert choices["strategy"] == "finetune" and choices["head"] == "linear"
    assert (cfg.optimizer.backbone_ratio, cfg.trainer.max_epochs, cfg.seed) == (1, 40, 3)
    assert cfg.freeze._target_ == "regraft.plan.none"
    assert cfg.output_dir == str(tmp_path)


@pytest.mark.parametrize(
    ("word", "stays"),
    [
        ("trainer.max_epochs=7", {"trainer.max_epochs": 7, "min_steps": 0}),
        ("optimizer.stage_decay=0.5", {"optimizer.backbone_ratio": 0.1}),
        (
            "optimizer=sgd",
            {"optimizer._target_": "regraft.optim.sgd", "optimizer.backbone_ratio": 0.1},
        ),
        ("head=mlp", {"head._target_": "regraft.head.mlp"}),
        ("quadrant=small_similar", {"trainer.max_epochs": 60}),
    ],
)
def test_what_somebody_has_chosen_stays(tmp_path, word, stays):
    cfg, _ = decided(tmp_path, word)
    assert {key: OmegaConf.select(cfg, key) for key in stays} == stays


def test_an_option_that_a_preset_chooses_stays(tmp_path, monkeypatch):
    file = tmp_path / "conf" / "preset" / "ours.yaml"
    file.parent.mkdir(parents=True)
    file.write_text("# @package _global_\n# Ours.\ndefaults:\n  - override /head: conv_mlp\n")
    words = (f"hydra.searchpath=[file://{tmp_path / 'conf'}]", "preset=ours")
    cfg, choices = decided(tmp_path / "job", *words)
    assert choices["head"] == "conv_mlp" and cfg.head._target_ == "regraft.head.conv_mlp"
    assert choices["freeze"] == "none"


def test_the_other_processes_of_a_job_read_what_the_first_has_decided(tmp_path, monkeypatch):
    (tmp_path / "first").mkdir()
    written = {"choices": [vars(choice) for choice in CHOICES]}
    (tmp_path / "first" / "advice.json").write_text(json.dumps(written))
    cfg = composed(tmp_path / "second", "strategy=auto")
    monkeypatch.setenv(auto.DECIDED, str(tmp_path / "first"))
    assert auto.as_decided(cfg) is cfg
    monkeypatch.setattr(auto.rank, "rank", lambda: 1)
    assert auto.as_decided(cfg).trainer.max_epochs == 40


def test_floors_that_cannot_be_measured_are_a_line_in_the_log(tmp_path, monkeypatch, caplog):
    cfg = composed(tmp_path, "strategy=auto")

    def fails(*_):
        raise RegraftError("the linear probe did not converge")

    monkeypatch.setattr(auto.floors, "measure", fails)
    with tracking.recording(cfg) as record:
        record.add(advice={"choices": []}, metrics={"val/acc": 0.5})
        auto.judge_floors(cfg, record, Console())
    assert "the floors cannot be measured: the linear probe did not converge" in caplog.text


def test_a_sweep_over_strategies_has_not_chosen_one(tmp_path):
    composed(tmp_path, "sweep=verify", "strategy=auto", "seed=0", sweep=True)
    assert [choice.words for choice in auto._open(CHOICES)][:2] == [
        "strategy=finetune",
        "head=linear",
    ]


def test_options_of_the_strategy_auto_are_not_those_of_the_chosen_one(tmp_path):
    cfg, _ = decided(tmp_path, "strategy.small_gain=0.1")
    assert "small_gain" not in cfg.strategy


def test_a_run_that_goes_on_is_not_measured_again(tmp_path):
    cfg = composed(tmp_path, "strategy=auto", "resume=auto")
    assert auto.as_decided(cfg) is cfg
    written = {"choices": [vars(choice) for choice in CHOICES]}
    (tmp_path / "advice.json").write_text(json.dumps(written))
    assert auto.as_decided(cfg).trainer.max_epochs == 40
    for damaged in ("", "{}", '{"choices": [{"word": 1}]}'):
        (tmp_path / "advice.json").write_text(damaged)
        assert auto.as_decided(cfg) is cfg


def test_a_new_run_does_not_believe_an_old_advice(tmp_path):
    cfg = composed(tmp_path, "strategy=auto")
    written = {"choices": [vars(choice) for choice in CHOICES]}
    (tmp_path / "advice.json").write_text(json.dumps(written))
    assert auto.as_decided(cfg) is cfg


def advised(folder, *words):
    cfg = composed(folder / "job", "strategy=auto", *words)
    return auto.advise(cfg, folder)


def test_a_class_of_one_image_is_one_line(tmp_path):
    with pytest.raises(RegraftError, match="at least 2 training images of every class"):
        advised(tmp_path, "data=digits", "data.per_class=1")


def test_a_target_above_one_is_one_line(tmp_path):
    with pytest.raises(RegraftError, match=r"strategy\.target_acc=1\.2"):
        advised(tmp_path, "strategy.target_acc=1.2")


def test_only_auto_is_auto(tmp_path):
    cfg = composed(tmp_path, "strategy=finetune")
    assert not auto.is_auto(cfg)
    with open_dict(cfg):
        cfg.strategy = None
    assert not auto.is_auto(cfg)
