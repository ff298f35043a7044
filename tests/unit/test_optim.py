import families
import pytest
import torch
from torch.optim.lr_scheduler import CosineAnnealingLR, ExponentialLR, LinearLR, StepLR

from regraft import optim, plan
from regraft.backbone import Backbone
from regraft.head import linear

PLANS = {
    "finetune": lambda n: plan.none(n, 10, above="tune", fixed_norm_below=0),
    "partial": lambda n: plan.first(n, 10, stages=2, above="reset", fixed_norm_below=0),
    "drop": lambda n: plan.first(n, 10, stages=2, above="drop", fixed_norm_below=0),
    "gradual": lambda n: plan.gradual(n, 10, begin=0.2, end=0.6, fixed_norm_below=0),
    "frozen": lambda n: plan.everything(n, 10),
}
RATES = {"lr": 0.1, "weight_decay": 0.01}
RATIOS = {"backbone_ratio": 0.1, "stage_decay": 0.5}
SCHEDULES = {
    "cosine": lambda o: optim.cosine(o, 20, warmup=0.2),
    "constant": lambda o: optim.constant(o, 20, warmup=0.2),
    "onecycle": lambda o: optim.onecycle(o, 20, warmup=0.3, div=25.0),
    "torch cosine": lambda o: CosineAnnealingLR(o, 20),
    "torch step": lambda o: StepLR(o, 5),
    "torch exponential": lambda o: ExponentialLR(o, 0.9),
    "torch linear": lambda o: LinearLR(o, 0.1, total_iters=10),
}


@pytest.fixture(params=families.FAMILIES)
def backbone(request):
    return families.backbone(request.param)


@pytest.mark.parametrize("name", PLANS)
def test_every_trained_parameter_is_in_exactly_one_group(backbone, name):
    made = PLANS[name](len(backbone.stages))
    plan.graft(made, backbone)
    head = linear(backbone.out_features, None, 3)
    groups = optim.parameter_groups(backbone, head, optim.ratios(made, **RATIOS), **RATES)
    grouped = [id(p) for group in groups for p in group["params"]]
    moving = made.indices("tune", "reset")
    wanted = [p for index in moving for p in backbone.stage_parameters(index).values()]

    assert sorted(grouped) == sorted(map(id, [*wanted, *head.parameters()]))


@pytest.mark.parametrize("family", families.FAMILIES)
def test_only_weights_are_decayed_and_no_embeddings_of_tokens_and_positions(family):
    backbone = families.backbone(family)
    ratios = (1.0,) * len(backbone.stages)
    groups = optim.parameter_groups(backbone, linear(9, None, 3), ratios, **RATES)
    names = {id(p): name for name, p in backbone.net.named_parameters()}
    decayed = [p for g in groups if g["weight_decay"] > 0 for p in g["params"]]
    others = [p for g in groups if g["weight_decay"] == 0 for p in g["params"]]

    assert all(p.ndim > 1 for p in decayed)
    embeddings = {names[id(p)].rpartition(".")[2] for p in others if p.ndim > 1}
    expected = {"vit": {"cls_token", "pos_embed"}, "swin": {"relative_position_bias_table"}}
    assert embeddings == expected.get(family, set())
    assert all(g["name"].endswith("/no_decay") == (g["weight_decay"] == 0) for g in groups)


def test_ratios_fall_towards_the_stem_and_reset_stages_learn_like_the_head():
    tuned = optim.ratios(PLANS["finetune"](4), **RATIOS)
    assert tuned == pytest.approx((0.0125, 0.025, 0.05, 0.1))
    partial = optim.ratios(PLANS["partial"](4), **RATIOS)
    assert partial == (0, 0, 1, 1)
    assert optim.ratios(PLANS["frozen"](3), **RATIOS) == (0, 0, 0)


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("make", [optim.adamw, optim.sgd])
def test_at_every_step_the_rate_is_schedule_times_ratio(schedule, make):
    backbone = Backbone(name="test_resnet", size=64)
    made = PLANS["finetune"](len(backbone.stages))
    extra = {"betas": [0.9, 0.999]} if make is optim.adamw else {"momentum": 0.9}
    optimizer = make(backbone, made, linear(96, None, 3), **RATES, **RATIOS, **extra)
    scheduler = SCHEDULES[schedule](optimizer)
    distinct = set()
    for _ in range(20):
        head = optimizer.param_groups[-1]
        for group in optimizer.param_groups:
            assert group["lr"] == pytest.approx(head["lr"] * group["ratio"], rel=1e-6, abs=1e-12)
        distinct.add(round(head["lr"], 9))
        optimizer.step()
        scheduler.step()
    assert len(distinct) > 1


def test_the_trunk_never_learns_faster_than_the_head_times_its_ratio():
    backbone = Backbone(name="test_resnet", size=64)
    made = PLANS["finetune"](len(backbone.stages))
    ratios = optim.ratios(made, **RATIOS)
    groups = optim.parameter_groups(backbone, linear(96, None, 3), ratios, **RATES)
    assert max(g["lr"] for g in groups if not g["name"].startswith("head")) == pytest.approx(0.01)


def test_lr_scale_is_a_factor_on_everything():
    backbone = Backbone(name="test_resnet", size=64)
    made = PLANS["finetune"](len(backbone.stages))
    arguments = (backbone, made, linear(96, None, 3))
    plain = optim.sgd(*arguments, **RATES, **RATIOS, momentum=0.9)
    scaled = optim.sgd(*arguments, **RATES, **RATIOS, momentum=0.9, lr_scale=0.5)
    for a, b in zip(plain.param_groups, scaled.param_groups, strict=True):
        assert b["lr"] == pytest.approx(a["lr"] / 2)


@pytest.mark.parametrize(
    ("schedule", "after"), [(optim.cosine, [1.0, 0.97]), (optim.constant, [1.0, 1.0])]
)
def test_the_warm_up_takes_its_share_of_the_steps(schedule, after):
    """A quarter of twelve steps rises evenly to the full rate, which the fourth step has."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    scheduler = schedule(optimizer, 12, warmup=0.25)
    rates = []
    for _ in range(5):
        rates.append(scheduler.get_last_lr()[0])
        optimizer.step()
        scheduler.step()
    assert rates == pytest.approx([0.25, 0.5, 0.75, *after], abs=0.005)


def test_onecycle_survives_a_training_of_one_step():
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
    optim.onecycle(optimizer, 1, warmup=0.25, div=25.0)
    optimizer.step()
