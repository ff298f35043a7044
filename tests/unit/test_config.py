import copy
from functools import cache
from typing import Annotated, Literal

import pytest
import torch
from annotated_types import Ge, Gt
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from regraft import config, trust
from regraft.errors import RegraftError
from regraft.paths import conf_folder


def thing(fact, *, rate: Annotated[float, Gt(0)], kind: Literal["a", "b"] = "a", note: str = ""):
    """What the tests build."""
    if note == "user":
        raise RegraftError("told the user")
    return fact, rate, kind


HERE = f"{__name__}.thing"


@pytest.fixture(autouse=True)
def trusted(monkeypatch):
    monkeypatch.setattr(trust, "users", lambda: (f"{__name__.partition('.')[0]}.",))


@cache
def shipped():
    with initialize_config_dir(str(conf_folder()), version_base="1.3"):
        return compose("config", ["output_dir=x"])


def job(**node):
    cfg = copy.deepcopy(shipped())
    OmegaConf.set_struct(cfg, False)
    cfg.head = {"_target_": "regraft.head.mlp", "hidden": 8, "dropout": 0.1} | node
    return cfg


def test_a_right_job_passes():
    config.check(job())


@pytest.mark.parametrize(
    ("node", "message"),
    [
        ({"dropuot": 0.1}, r"head.dropuot: .* no such option; did you mean 'dropout'"),
        ({"hidden": "abc"}, r"head.hidden=abc: must be an integer$"),
        ({"hidden": 0}, r"head.hidden=0: must be greater than 0$"),
        ({"hidden": 1.5}, r"head.hidden=1.5: .*integer"),
        ({"dropout": 1.0}, r"head.dropout=1.0: must be less than 1$"),
        ({"dropout": "0.5"}, r"head.dropout=0.5: .*number"),
        ({"features": 3}, r"head.features: .* no such option"),
        ({"hidden": "???"}, r"head.hidden is not set; add head.hidden=<value>"),
        ({"_target_": "regraft.head.mpl"}, r"no such class or function"),
        ({"_target_": "os.system", "command": "true"}, r"not from a trusted module"),
    ],
)
def test_a_wrong_key_is_one_line(node, message):
    with pytest.raises(RegraftError, match=message) as caught:
        config.check(job(**node))
    assert "\n" not in str(caught.value)


def test_a_group_without_an_option_is_named():
    cfg = job()
    cfg.optimizer = None
    with pytest.raises(RegraftError, match="optimizer: (no option is chosen|must be settings)"):
        config.check(cfg)


@pytest.mark.parametrize("name", ["callbacks", "calibration", "figures", "loader"])
@pytest.mark.parametrize("value", [None, "x", 3])
def test_settings_are_not_replaced_by_a_value(name, value):
    cfg = job()
    cfg[name] = value
    with pytest.raises(RegraftError, match=rf"^{name}={value}: must be settings"):
        config.check(cfg)


def test_lightnings_own_logger_to_wandb_which_never_ends_its_run_is_refused():
    cfg = job()
    cfg.logger = {"_target_": "pytorch_lightning.loggers.WandbLogger"}
    with pytest.raises(RegraftError, match=r"^logger\._target_=.*use logger=wandb"):
        config.check(cfg)


@pytest.mark.parametrize(
    ("watched", "mode", "said"),
    [
        ("val/f1", "max", "no such metric; there are .*did you mean 'val/macro_f1'"),
        ("val/loss", "max", "would choose the worst epoch; add callbacks.checkpoint.mode=min"),
    ],
)
def test_what_a_checkpoint_watches_is_checked_before_anything_is_written(watched, mode, said):
    cfg = job()
    cfg.callbacks.checkpoint.monitor, cfg.callbacks.checkpoint.mode = watched, mode
    with pytest.raises(RegraftError, match=rf"^callbacks.checkpoint.monitor={watched}.*{said}"):
        config.check(cfg)
    cfg.callbacks.theirs = {"_target_": f"{__name__}.thing", "rate": 1.0}  # may log any metric
    if watched == "val/f1":
        assert not any("no such metric" in str(problem) for problem in config.problems(cfg))


def test_what_belongs_to_no_target_is_checked_too():
    with pytest.raises(RegraftError, match=r"compile=defaul: must be one of default, reduce-over"):
        config.check(OmegaConf.merge(job(), {"compile": "defaul"}))


@pytest.mark.parametrize(
    ("value", "expected", "said"),
    [
        (17, Literal[64, 32] | Literal["32-true", "64"], "one of 64, 32, 32-true"),
        ("32-tru", Literal["32-true", "x"], "one of 32-true, x; did you mean '32-true'?"),
        (3, bool | Literal["warn"], "true or false or warn"),
        ("x", int | float, "an integer or a number"),
        (3, list[str], "a list"),
        ([3], list[str], "text"),
        (0, Annotated[int, Ge(1)] | None, "greater than or equal to 1"),
    ],
)
def test_types_are_said_in_our_words(value, expected, said):
    [wrong] = config._check_type("key", value, expected)
    assert str(wrong) == f"key={value}: must be {said}"


def test_a_key_that_nobody_reads_is_refused():
    with pytest.raises(RegraftError, match=r"sed: no such key.*; did you mean 'seed'"):
        config.check(OmegaConf.merge(job(), {"sed": 3}))
    read = {"mine": 4, "head": {"hidden": "${mine}"}}
    config.check(OmegaConf.merge(job(), read))


def test_what_is_built_once_is_the_same_for_the_same_seed_only():
    node = OmegaConf.create({"_target_": "regraft.backbone.Backbone", "name": "test_resnet"})
    first, again, other = (config.build_once(node, seed) for seed in (0, 0, 1))
    assert first is again
    assert first is not other


def test_the_seed_makes_the_random_weights_of_what_is_built_once_and_touches_no_others():
    node = OmegaConf.create({"_target_": "torch.nn.Linear", "in_features": 3, "out_features": 2})

    def weights(seed, before):
        config._built.cache_clear()
        torch.manual_seed(before)
        made = config.build_once(node, seed).weight.tolist()
        drawn = torch.rand(1)
        torch.manual_seed(before)
        assert drawn == torch.rand(1)
        return made

    assert weights(0, before=1) == weights(0, before=2)
    assert weights(0, before=1) != weights(1, before=1)


def test_an_absent_key_is_named():
    cfg = job()
    del cfg.head.hidden
    with pytest.raises(RegraftError, match=r"head.hidden is not set"):
        config.check(cfg)


@pytest.mark.parametrize("seed", [-1, 2**32, "abc", None, 1.5])
def test_a_seed_is_a_whole_number_in_range(seed):
    cfg = job()
    cfg.seed = seed
    with pytest.raises(RegraftError, match="seed"):
        config.check(cfg)


def test_types_of_other_peoples_targets_are_checked_too():
    cfg = job()
    cfg.trainer = {"_target_": "pytorch_lightning.Trainer", "max_epochs": "many"}
    with pytest.raises(RegraftError, match=r"trainer.max_epochs=many"):
        config.check(cfg)
    cfg.trainer = {"_target_": "pytorch_lightning.Trainer", "max_epoch": 3}
    with pytest.raises(RegraftError, match=r"trainer.max_epoch: .*did you mean 'max_epochs'"):
        config.check(cfg)


def test_facts_go_by_position_and_choices_by_name():
    node = OmegaConf.create({"_target_": HERE, "rate": 0.5})
    assert config.build(node, 7) == (7, 0.5, "a")
    assert config.factory(node, 7)() == (7, 0.5, "a")
    assert config.build(node, 7, kind="b") == (7, 0.5, "b")


def test_an_error_for_the_user_comes_through_the_builder_as_it_is():
    node = OmegaConf.create({"_target_": HERE, "rate": 0.5, "note": "user"})
    with pytest.raises(RegraftError, match=r"^told the user$"):
        config.build(node, 7)


def test_nothing_untrusted_is_ever_called(tmp_path, monkeypatch):
    monkeypatch.setattr(trust, "users", tuple)
    node = OmegaConf.create({"_target_": "pathlib.Path.touch", "self": str(tmp_path / "made")})
    with pytest.raises(RegraftError, match="REGRAFT_TRUST=pathlib"):
        config.build(node)
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    "node",
    [
        {"_target_": "regraft.tracking.Path.touch"},
        {"_target_": "torch.nn.ModuleList", "modules": [{"_target_": "pathlib.Path.touch"}]},
    ],
)
def test_trust_is_in_the_module_that_defines_and_reaches_into_lists(node, monkeypatch):
    monkeypatch.setattr(trust, "users", tuple)
    with pytest.raises(RegraftError, match="not from a trusted module"):
        config.build(OmegaConf.create(node))
    with pytest.raises(RegraftError, match="not from a trusted module|makes no Head"):
        cfg = job()
        cfg.head = node
        config.check(cfg)


def test_an_interpolation_that_leads_nowhere_is_one_line():
    with pytest.raises(RegraftError, match="a: refers to nowhere, which there is not"):
        config.resolved(OmegaConf.create({"a": "${nowhere}"}))
