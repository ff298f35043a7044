"""Every option on disk composes and fits the signature of its target."""

from functools import cache
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from regraft import config
from regraft.paths import conf_folder
from regraft.searchpath import entries
from regraft.validate.check import overlay_groups
from regraft.validate.files import faults, keys
from regraft.validate.tree import Tree

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
    ("preset", "birds"): ["data.root=x"],
    ("freeze", "custom"): ["freeze.actions=[keep,keep,tune,tune,tune]"],
}


PLAIN = {group: [o for g, o in OPTIONS if g == group] for group in GROUPS if group not in OVERLAYS}
TREE = Tree(entries())


@cache
def composed(*words):
    """A job of these words, without Hydra's own part; to be read only."""
    cfg = TREE.compose(*words, "output_dir=x")
    return OmegaConf.masked_copy(cfg, [key for key in map(str, cfg) if key != "hydra"])


def each_option_once(groups):
    """Few jobs that have every option of these groups: the first has the first of each, and so on.

    A group with fewer options than another has its last one again.
    """
    for number in range(max(map(len, groups.values()))):
        chosen = [(g, names[min(number, len(names) - 1)]) for g, names in groups.items()]
        needed = [word for option in chosen for word in NEEDED.get(option, [])]
        yield chosen, [*(f"{group}={option}" for group, option in chosen), *needed]


def test_there_are_the_groups_that_are_promised():
    promised = (
        "backbone strategy freeze head optimizer scheduler data quadrant trainer logger callbacks "
        "preset sweep debug pretrain features augment balance"
    )
    assert set(promised.split(" ")) == set(GROUPS)
    assert len(OPTIONS) > 40


@pytest.mark.parametrize("words", [words for _, words in each_option_once(PLAIN)], ids=" ".join)
def test_every_option_is_right(words):
    """Nightly, each is composed by itself, and every preset under every strategy."""
    config.check(composed(*words))


@pytest.mark.parametrize(
    "words",
    [[f"{g}={o}", *NEEDED.get((g, o), [])] for g, o in OPTIONS if g in OVERLAYS],
    ids=" ".join,
)
def test_every_option_that_sets_keys_of_other_groups_is_right(words):
    config.check(composed(*words))


@pytest.mark.parametrize("preset", PRESETS)
def test_no_preset_sets_what_strategies_set(preset):
    """Else a sweep over strategies would train the same thing several times."""
    owned = {key for strategy in STRATEGIES for key in said("strategy", strategy)}
    assert {"freeze", "optimizer.backbone_ratio"} <= owned
    assert not owned & said("preset", preset)


def said(group, option):
    """The values that a file sets, dotted, and the groups whose options it chooses."""
    there = keys(conf_folder() / group / f"{option}.yaml")
    leaves = [key for key in there if not any(other.startswith(f"{key}.") for other in there)]
    chosen = {key.partition("override /")[2] for key in leaves if key.startswith("defaults.")}
    return chosen | {key for key in leaves if not key.startswith("defaults.")}


@pytest.mark.parametrize(("group", "option"), OPTIONS)
def test_every_option_opens_with_a_comment_that_says_what_it_is_for_and_is_right_by_itself(
    group, option
):
    lines = (conf_folder() / group / f"{option}.yaml").read_text().splitlines()
    if group in OVERLAYS:
        assert lines.pop(0) == "# @package _global_"  # Hydra reads it on the first line only
    assert lines[0].startswith("# ")
    assert "@package" not in "".join(lines)
    assert [*faults(conf_folder() / group / f"{option}.yaml", f"{group}/{option}", OVERLAYS)] == []


def test_overlay_groups_are_found_by_their_files():
    assert overlay_groups() == set(OVERLAYS)


@pytest.mark.parametrize(("group", "option"), [o for o in OPTIONS if o[0] in OVERLAYS])
def test_an_overlay_lands_at_the_top_and_not_under_its_own_name(group, option):
    cfg = composed(f"{group}={option}", *NEEDED.get((group, option), []))
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


def test_an_overlay_wins_over_what_it_is_put_over():
    """A strategy over the optimizer's own ratios, a sweep over the primary config."""
    assert composed("optimizer=sgd", "strategy=scratch").optimizer.stage_decay == 1
    cfg = composed("strategy=finetune", "optimizer=sgd")
    assert (cfg.optimizer.backbone_ratio, cfg.optimizer.stage_decay) == (0.1, 0.7)
    assert composed().min_steps == 0
    assert composed("sweep=verify").min_steps == 400
    assert composed("sweep=verify", "min_steps=7").min_steps == 7


FREEZES = [option for group, option in OPTIONS if group == "freeze"]


@pytest.mark.parametrize(
    ("strategy", "freeze"),
    [(name, FREEZES[(n + 2) % len(FREEZES)]) for n, name in enumerate(STRATEGIES)],
)
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
