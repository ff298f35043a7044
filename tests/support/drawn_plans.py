"""Legal plans, drawn at random: what holds for each, under any head, on any family."""

import copy
from functools import cache, partial
from typing import NamedTuple

import pytest
import pytorch_lightning as pl
import torch
from families import FAMILIES
from hypothesis import strategies as st
from torch.utils.data import DataLoader, TensorDataset

from regraft import head, optim, plan
from regraft.backbone import Backbone
from regraft.classifier import Classifier
from regraft.cut import cut
from regraft.plan import Plan

CLASSES = ("ant", "bee", "cat")
STEPS = 2
LR = 0.02
HEADS = {
    "linear": head.linear,
    "mlp": partial(head.mlp, hidden=8),
    "conv_mlp": partial(head.conv_mlp, width=8, hidden=8),
}
OPTIMIZERS = {
    "sgd": partial(optim.sgd, lr=LR, weight_decay=0.0, momentum=0.9),
    "adamw": partial(optim.adamw, lr=LR, weight_decay=0.0, betas=[0.9, 0.999]),
}


@cache
def built(family):
    name, size = FAMILIES[family]
    torch.manual_seed(0)
    return Backbone(name=name, size=size)


@st.composite
def rows(draw, depth):
    """Actions from the input up: the last stages dropped, of the others any, or kept ones first."""
    left = depth - draw(st.integers(0, depth - 1))
    surgical = draw(st.booleans())
    kept = 0 if surgical else draw(st.integers(0, left))
    choices = ["keep", "tune", "reset"] if surgical else ["tune", "reset"]
    others = draw(st.lists(st.sampled_from(choices), min_size=left - kept, max_size=left - kept))
    return surgical, ["keep"] * kept + others + ["drop"] * (depth - left)


@st.composite
def plans(draw, depth):
    """What the freeze policies make, with and without fixed statistics of BatchNorm."""
    policy = draw(st.sampled_from(["custom", "custom", "first", "gradual", "everything"]))
    few = {"fixed_norm_below": draw(st.sampled_from([0, 100]))}
    if policy == "everything":
        return plan.everything(depth, 8)
    if policy == "gradual":
        begin, end = sorted(draw(st.tuples(*[st.sampled_from([0.0, 0.4, 0.5, 1.0])] * 2)))
        return plan.gradual(depth, 8, begin=begin, end=end, **few)
    if policy == "first":
        above = draw(st.sampled_from(["tune", "reset", "drop"]))
        stages = draw(st.integers(above == "drop", depth))
        return plan.first(depth, 8, stages=stages, above=above, **few)
    surgical, actions = draw(rows(depth))
    return plan.custom(depth, 8, actions=actions, surgical=surgical, **few)


class Case(NamedTuple):
    """One drawing, in words that a failure can show."""

    plan: Plan
    head: str
    optimizer: str
    ratios: dict[str, float]


@st.composite
def cases(draw, family):
    made = draw(plans(len(built(family).stages)))
    kinds = sorted(HEADS) if built(family).map_shape else ["linear", "mlp"]
    kind, optimizer = (draw(st.sampled_from(options)) for options in (kinds, sorted(OPTIMIZERS)))
    ratios = {
        "backbone_ratio": draw(st.sampled_from([0.1, 0.5, 1.0])),
        "stage_decay": draw(st.sampled_from([0.7, 1.0])),  # what is left of it must be felt
    }
    return Case(made, kind, optimizer, ratios)


def classifier(family, case):
    """What a job makes of it: the plan carried out, then a head for what the trunk gives."""
    backbone = copy.deepcopy(built(family))
    plan.graft(case.plan, backbone)
    torch.manual_seed(1)
    on_top = HEADS[case.head](backbone.out_features, backbone.map_shape, len(CLASSES))
    torch.nn.init.normal_(on_top.layers[-1].weight)  # from zeros, the trunk learns a step later
    optimizer = partial(OPTIMIZERS[case.optimizer], **case.ratios)
    schedule = partial(optim.constant, warmup=0.0)
    made = plan.drop_unread(case.plan, backbone, on_top.takes)
    return Classifier(backbone, made, on_top, optimizer, schedule, CLASSES)


def expected_rates(made: Plan, *, backbone_ratio, stage_decay):
    """The rate of each stage that is ever trained, told from the top."""
    rates, gentle = {}, None
    for index in reversed(range(len(made.actions))):
        if gentle is not None:
            gentle *= stage_decay
        if made.actions[index] == "tune":
            gentle = LR * backbone_ratio if gentle is None else gentle
            rates[index] = gentle
        elif made.actions[index] == "reset":
            rates[index] = LR
    return rates


def as_bytes(model, index):
    """Every parameter and every buffer of a stage, also those that no state dict holds."""
    net = model.backbone.net
    tensors = dict(net.named_parameters()) | dict(net.named_buffers())
    names = model.backbone.stages[index].tensors
    return {n: tensors[n].detach().numpy().tobytes() for n in names if n in tensors}


def fit(model, images):
    loader = DataLoader(TensorDataset(images, torch.arange(len(images)) % 3), batch_size=4)
    trainer = pl.Trainer(
        max_epochs=1,
        logger=False,
        accelerator="cpu",
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        gradient_clip_val=1.0,
    )
    trainer.fit(model, loader)
    assert trainer.global_step == STEPS
    return trainer.optimizers[0]


def a_plan_is_what_happens(family, data):
    """Draw a plan for a family, train two steps, and look at every byte, rate and output."""
    case = data.draw(cases(family))
    model = classifier(family, case)
    made, backbone = model.plan, model.backbone
    depth = len(backbone.stages)
    images = torch.randn(4 * STEPS, 3, *backbone.input.size, generator=torch.manual_seed(2))
    before = [as_bytes(model, index) for index in range(depth)]

    optimizer = fit(model, images)

    # Whatever is trained, now or later, is in one group, at the rate that the plan says.
    rates = expected_rates(made, **case.ratios)
    wanted = {index: list(backbone.stage_parameters(index).values()) for index in rates}
    everything = [*model.head.parameters(), *(p for parts in wanted.values() for p in parts)]
    grouped = [p for group in optimizer.param_groups for p in group["params"]]
    assert sorted(map(id, grouped)) == sorted(map(id, everything))
    rate_of = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    assert all(rate_of[id(p)] == pytest.approx(LR) for p in model.head.parameters())
    for index, parameters in wanted.items():
        assert all(rate_of[id(p)] == pytest.approx(rates[index]) for p in parameters)

    # What was frozen in every step is the same to the byte; what was not has changed.
    frozen = [made.frozen(step / STEPS) for step in range(STEPS)]
    for index in range(depth):
        after = as_bytes(model, index)
        if made.actions[index] == "drop":
            assert not backbone.stage_parameters(index)
        elif all(index in stages for stages in frozen):
            assert after == before[index]
        else:
            learned = backbone.stage_parameters(index)
            assert any(after[name] != before[index][name] for name in learned)

    # What comes out has a column per class, whether the kept stages are computed here or before.
    model.eval()
    with torch.no_grad():
        logits = model(images)
        assert logits.shape == (len(images), len(CLASSES))
        assert logits.isfinite().all()
        if made.leading_kept:
            model.cut = cut(backbone, made.leading_kept, model.head.takes)
            assert model.cut.stages == made.leading_kept
            stored = model.cut.prefix(images)
            torch.testing.assert_close(model(stored), logits, rtol=1e-5, atol=1e-5)
