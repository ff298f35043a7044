from typing import Annotated

import pytest
import torch
from omegaconf import OmegaConf
from pytorch_lightning import Callback

from regraft import trust
from regraft.errors import RegraftError
from regraft.head import Head

ME = __name__


class OwnHead(Head):
    """A team's head as a class."""

    def __init__(self, *facts, activation: Annotated[torch.nn.Module, "any"], rate: float) -> None:
        super().__init__()


class Layers(torch.nn.Module):
    """A team's head that does not know of regraft."""

    def __init__(self, features, map_shape, num_classes, *, hidden: int) -> None:
        super().__init__()
        self.first, self.last = torch.nn.Linear(features, hidden), torch.nn.Linear(hidden, 2)


def own_head(features: int, *, watchers: list[Callback] | None) -> OwnHead | None:
    """A team's head as a function that may give none."""


def surely_a_head(features: int, *, watchers: list[Callback] | None) -> OwnHead:
    """A team's head as a function."""
    raise NotImplementedError


def not_annotated(features):
    """It may return anything."""


GELU = {"_target_": "torch.nn.GELU"}
TIMER = {"_target_": "pytorch_lightning.callbacks.Timer"}


@pytest.fixture
def trusted(monkeypatch):
    monkeypatch.setattr(trust, "users", lambda: (f"{ME.partition('.')[0]}.",))


def head(name, **node):
    return {"head": {"_target_": f"{ME}.{name}", **node}}


@pytest.mark.parametrize(
    "config",
    [
        head("OwnHead", activation=GELU, rate=0.1),
        head("surely_a_head", watchers=[TIMER, TIMER]),
        head("Layers", hidden=3),
        {"callbacks": {"x": TIMER, "y": None}},
        {"trainer": {"_target_": "pytorch_lightning.Trainer", "callbacks": [TIMER]}},
        {"logger": {"_target_": "regraft.logger.no_logger"}},
    ],
)
def test_a_teams_own_parts_of_the_right_kind_are_built(config, trusted):
    trust.check(config)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (head("OwnHead", activation=TIMER, rate=0.1), "head.activation._target_=.*no Module"),
        (head("OwnHead", activation=GELU, rate=GELU), "head.rate._target_=.*nothing is built"),
        (head("surely_a_head", watchers=[GELU]), "head.watchers.0._target_=.*makes no Callback"),
        (head("own_head", watchers=None), "makes no Head; name a class of that kind or"),
        (head("not_annotated"), "that is annotated to return one"),
        ({"head": {"_target_": "torch.nn.Linear"}}, "head._target_=torch.nn.Linear: makes no Head"),
        ({"backbone": head("Layers")["head"]}, "makes no Backbone"),
        ({"optimizer": head("OwnHead")["head"]}, "optimizer._target_=.*makes no Optimizer"),
        ({"callbacks": TIMER}, "callbacks._target_=.*nothing is built here"),
        ({"callbacks": {"x": [TIMER], "y": {"z": GELU}}}, "callbacks.y.z._target_=.*no Callback"),
        ({"head": {"inner": head("OwnHead")["head"]}}, "head.inner._target_=.*nothing is built"),
        ({"tags": [TIMER]}, "tags.0._target_=.*nothing is built here"),
        ({"logger": {"_target_": "regraft.data.augment.none"}, "head": GELU}, "head._target_="),
        ({"head": {"_target_": ["os", "system"]}}, "not from a trusted module"),
    ],
)
def test_what_is_of_another_kind_is_refused(config, said, trusted):
    with pytest.raises(RegraftError, match=said):
        trust.check(config)


def test_nobody_is_trusted_but_by_the_user():
    with pytest.raises(RegraftError, match="not from a trusted module; if you trust it, add --tru"):
        trust.check(head("OwnHead", activation=GELU, rate=0.1))


def test_trust_is_read_once_from_the_words_and_the_environment(monkeypatch):
    monkeypatch.setenv(trust.TRUST, "team, other")
    trust.users.cache_clear()
    try:
        assert trust.from_words(["seed=1", "--trust=mine", "-m"]) == ["seed=1", "-m"]
        assert trust.users() == ("team.", "other.", "mine.")
        monkeypatch.setenv(trust.TRUST, "os")  # as hydra.job.env_set would
        assert trust.users() == ("team.", "other.", "mine.")
    finally:
        monkeypatch.delenv(trust.TRUST)
        trust.users.cache_clear()


def test_what_was_checked_is_what_is_built(monkeypatch):
    """A resolver that changes its mind between the check and the building changes nothing."""
    from regraft import config

    answers = iter(["torch.nn.GELU", "torch.nn.ReLU"])
    OmegaConf.register_new_resolver("fickle", lambda: next(answers), replace=True)
    try:
        node = OmegaConf.create({"_target_": "${fickle:}"})
        assert type(config.build(node)).__name__ == "GELU"
    finally:
        OmegaConf.clear_resolver("fickle")
