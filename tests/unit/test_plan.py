import itertools

import families  # noqa: F401, registers small networks with timm
import pytest
import torch

from regraft import plan
from regraft.backbone import Backbone
from regraft.errors import RegraftError
from regraft.plan import Plan

FEW = {"fixed_norm_below": 0}


def test_first_keeps_the_stages_next_to_the_input():
    made = plan.first(5, 100, stages=2, above="reset", **FEW)
    assert made.actions == ("keep", "keep", "reset", "reset", "reset")
    assert made.frozen(0.0) == {0, 1}
    assert made.leading_kept == 2


def test_everything_keeps_all_and_none_keeps_nothing():
    assert plan.everything(3, 100).leading_kept == 3
    assert plan.none(3, 100, above="tune", **FEW).frozen(0.0) == frozenset()
    assert plan.none(3, 100, above="reset", **FEW).actions == ("reset",) * 3


def test_only_stages_below_all_others_are_leading():
    assert plan.first(4, 100, stages=2, above="drop", **FEW).leading_kept == 2
    assert plan.none(4, 100, above="tune", **FEW).leading_kept == 0
    assert plan.gradual(4, 100, begin=0.2, end=0.6, **FEW).leading_kept == 0
    surgical = Plan(("keep", "tune", "keep"), (0.0,) * 3, surgical=True)
    assert surgical.leading_kept == 1
    assert plan.first(4, 100, stages=2, above="drop", **FEW).indices("drop") == (2, 3)


def test_gradual_thaws_from_the_top_and_stays_thawed():
    made = plan.gradual(4, 100, begin=0.2, end=0.8, **FEW)
    assert made.starts == pytest.approx((0.8, 0.6, 0.4, 0.2))
    frozen = [made.frozen(progress / 100) for progress in range(101)]

    assert frozen[0] == {0, 1, 2, 3}
    assert frozen[21] == {0, 1, 2}
    assert frozen[100] == frozenset()
    for before, after in itertools.pairwise(frozen):
        assert after <= before
        assert after == set(range(len(after)))  # always the stages next to the input


def test_equal_begin_and_end_thaw_everything_at_once():
    made = plan.gradual(4, 100, begin=0.5, end=0.5, **FEW)
    assert {len(made.frozen(p / 100)) for p in range(101)} == {0, 4}


def test_few_images_fix_the_norms_of_tuned_stages_but_not_of_reset_ones():
    assert plan.none(3, 99, above="tune", fixed_norm_below=100).fixed_norm
    assert not plan.none(3, 100, above="tune", fixed_norm_below=100).fixed_norm
    assert not plan.none(3, 99, above="reset", fixed_norm_below=100).fixed_norm


def test_a_kept_stage_above_a_trained_one_is_refused_unless_surgical():
    actions = ["tune", "keep", "keep"]
    with pytest.raises(RegraftError, match="kept above stage 0.*surgical=true"):
        plan.custom(3, 100, actions=actions, **FEW)
    assert plan.custom(3, 100, actions=actions, surgical=True, **FEW).frozen(0.0) == {1, 2}


@pytest.mark.parametrize("actions", [["drop", "tune", "tune"], ["keep", "drop", "tune"]])
def test_only_the_last_stages_can_be_dropped(actions):
    with pytest.raises(RegraftError, match="only the last stages"):
        plan.custom(3, 100, actions=actions, **FEW)


def test_dropping_every_stage_is_refused():
    with pytest.raises(RegraftError, match="every stage is dropped"):
        plan.first(3, 100, stages=0, above="drop", **FEW)


def test_more_stages_than_there_are_is_refused():
    with pytest.raises(RegraftError, match=r"freeze.stages=9: the backbone has 5 stages"):
        plan.first(5, 100, stages=9, above="tune", **FEW)


def test_as_many_actions_as_stages_are_needed():
    with pytest.raises(RegraftError, match="names 2 stages, but the backbone has 3"):
        plan.custom(3, 100, actions=["keep", "tune"], **FEW)


def test_gradual_backwards_is_refused():
    with pytest.raises(RegraftError, match="later than"):
        plan.gradual(3, 100, begin=0.9, end=0.1, **FEW)


def test_frozen_at_the_boundary_is_exact():
    made = Plan(("tune", "tune"), (0.5, 0.0))
    assert made.frozen(0.4999) == {0}
    assert made.frozen(0.5) == frozenset()


@pytest.mark.parametrize(
    ("name", "unread"), [("tiny_vgg", 1), ("mobilenetv3_small_050", 1), ("test_resnet", 0)]
)
@pytest.mark.parametrize("takes", ["map", "pooled"])
def test_a_stage_above_the_map_is_dropped_where_the_head_takes_the_map(name, unread, takes):
    backbone = Backbone(name=name, size=64)
    depth = len(backbone.stages)
    made = plan.none(depth, 10, above="tune", fixed_norm_below=0)
    plan.graft(made, backbone)
    made = plan.drop_unread(made, backbone, takes)
    dropped = unread if takes == "map" else 0
    assert made.actions == ("tune",) * (depth - dropped) + ("drop",) * dropped
    assert [not backbone.stage_parameters(i) for i in range(depth)] == [
        i >= depth - dropped for i in range(depth)
    ]
    features = backbone(torch.randn(2, 3, 64, 64), takes)
    features.float().pow(2).sum().backward()
    for index in range(depth - dropped):
        assert any(p.grad is not None for p in backbone.stage_parameters(index).values())
