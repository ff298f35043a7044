"""Every option by itself, every preset and every freeze policy under every strategy."""

import itertools

import pytest

from regraft import config
from regraft.paths import conf_folder
from regraft.searchpath import entries
from regraft.validate.check import validate
from regraft.validate.tree import Tree

TREE = Tree(entries())
NEEDED = {"custom": ["freeze.actions=[keep,keep,tune,tune,tune]"]}


def test_every_option_and_every_preset_under_every_strategy_is_right():
    """What `regraft validate` does; each error has its file and line."""
    found = validate(entries())
    options = [path for path in conf_folder().glob("*/*.yaml") if path.parent.name != "hydra"]
    assert found.faults == []
    assert (found.options, found.of_teams) == (len(options), 0)
    assert found.pairs == len(TREE.names("preset")) * len(TREE.names("strategy")) > 10


@pytest.mark.parametrize(
    ("strategy", "freeze"), [*itertools.product(TREE.names("strategy"), TREE.names("freeze"))]
)
def test_a_freeze_policy_on_the_command_line_replaces_the_strategys(strategy, freeze):
    needed = NEEDED.get(freeze, [])
    cfg = TREE.compose(f"strategy={strategy}", f"freeze={freeze}", "output_dir=x", *needed)
    del cfg._content["hydra"]
    config.check(cfg)
    assert cfg.freeze == TREE.compose(f"freeze={freeze}", *needed).freeze
