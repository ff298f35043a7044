"""Every option on disk composes and fits the signature of its target."""

import itertools
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from regraft import config
from regraft.paths import conf_folder
from regraft.searchpath import entries
from regraft.validate.check import overlay_groups, validate

GROUPS = sorted(p.name for p in conf_folder().iterdir() if p.is_dir() and p.name != "hydra")
OPTIONS = [
    (path.parent.name, path.stem)
    for path in sorted(conf_folder().glob("*/*.yaml"))
    if path.parent.name != "hydra"
]
STRATEGIES = [option for group, option in OPTIONS if group == "strategy"]
PRESETS = [option for group, option in OPTIONS if group == "preset"]
OVERLAYS = ("strategy", "pretrain", "quadrant", "preset", "sweep", "debug")
NEEDED = {
    ("data", "image_folder"): ["data.root=x"],
    ("data", "manifest"): ["data.path=x.csv"],
    ("data", "hf"): ["data.path=x/y"],
    ("backbone", "timm"): ["backbone.name=resnet18"],
    ("freeze", "custom"): ["freeze.actions=[keep,keep,tune,tune,tune]"],
}


@pytest.fixture(scope="module", autouse=True)
def hydra():
    with initialize_config_dir(str(conf_folder()), version_base="1.3"):
        yield


def composed(*overrides):
    return compose("config", [*overrides, "output_dir=x"])


def test_there_are_the_groups_that_are_promised():
    promised = (
        "backbone strategy freeze head optimizer scheduler data quadrant trainer logger callbacks "
        "preset sweep debug pretrain features augment balance"
    )
    assert set(promised.split(" ")) == set(GROUPS)
    assert len(OPTIONS) > 40


@pytest.mark.slow
def test_every_option_and_every_preset_under_every_strategy_is_right():
    """What `regraft validate` does; each error has its file and line."""
    found = validate(entries())
    assert found.faults == []
    assert (found.options, found.of_teams) == (len(OPTIONS), 0)
    assert found.pairs == len(PRESETS) * len(STRATEGIES) > 10


@pytest.mark.parametrize(("group", "option"), OPTIONS)
def test_every_option_opens_with_a_comment_that_says_what_it_is_for(group, option):
    lines = (conf_folder() / group / f"{option}.yaml").read_text().splitlines()
    if group in OVERLAYS:
        assert lines.pop(0) == "# @package _global_"  # Hydra reads it on the first line only
    assert lines[0].startswith("# ")
    assert "@package" not in "".join(lines)


def test_overlay_groups_are_found_by_their_files():
    assert overlay_groups() == set(OVERLAYS)


@pytest.mark.parametrize(("group", "option"), [o for o in OPTIONS if o[0] in OVERLAYS])
def test_an_overlay_lands_at_the_top_and_not_under_its_own_name(group, option):
    cfg = composed(f"{group}={option}")
    assert "defaults" not in cfg
    assert not {"hydra", "trainer", "data"} & set((cfg.get(group) or {}).keys())


def test_the_command_line_wins_over_the_strategy():
    cfg = composed(
        "strategy=finetune", "freeze=first", "freeze.stages=2", "optimizer=sgd", "optimizer.lr=3e-4"
    )
    config.check(cfg)
    assert cfg.freeze == {
        "_target_": "regraft.plan.first",
        "stages": 2,
        "above": "tune",
        "fixed_norm_below": cfg.freeze.fixed_norm_below,
    }
    assert cfg.optimizer._target_ == "regraft.optim.sgd"
    assert (cfg.optimizer.lr, cfg.optimizer.backbone_ratio) == (3e-4, 0.1)
    assert cfg.strategy.name == "finetune"


FREEZES = [option for group, option in OPTIONS if group == "freeze"]


@pytest.mark.parametrize(("strategy", "freeze"), list(itertools.product(STRATEGIES, FREEZES)))
def test_a_freeze_policy_on_the_command_line_replaces_the_strategys(strategy, freeze):
    needed = NEEDED.get(("freeze", freeze), [])
    cfg = composed(f"strategy={strategy}", f"freeze={freeze}", *needed)
    config.check(cfg)
    assert cfg.freeze == composed(f"freeze={freeze}", *needed).freeze


def test_strategies_own_ratios_and_never_a_learning_rate():
    for path in sorted((conf_folder() / "strategy").glob("*.yaml")):
        node = OmegaConf.load(path)
        assert not {"lr", "weight_decay"} & set(node.get("optimizer") or {}), path


def test_each_textbook_cell_has_its_strategy():
    cells = {composed(f"strategy={s}").strategy.quadrant: s for s in STRATEGIES}
    cells.pop(None)
    assert cells == {
        "small_similar": "feature_extraction",
        "big_similar": "finetune",
        "big_dissimilar": "scratch",
        "small_dissimilar": "collect",
    }


def test_the_tree_is_packaged_beside_an_init_file():
    assert Path(conf_folder() / "__init__.py").is_file()
