"""Parameter groups from a plan; optimizers and schedules over them."""

import math
from collections.abc import Sequence
from fnmatch import fnmatch
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, Le, Lt
from pydantic import FiniteFloat
from pytorch_lightning.callbacks import WeightAveraging
from torch import nn
from torch.optim import SGD, AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, OneCycleLR, ReduceLROnPlateau
from torch.optim.swa_utils import get_ema_multi_avg_fn

from regraft.backbone import Backbone
from regraft.monitors import LOGGED, Validated
from regraft.plan import Fraction, Plan

LearningRate = Annotated[FiniteFloat, Gt(0)]
NonNegative = Annotated[FiniteFloat, Ge(0)]
Ratio = Annotated[float, Gt(0), Le(1)]
Auto = Literal["auto"]  # to be found by a range test (lr_range.py)


def ratios(plan: Plan, *, backbone_ratio: float, stage_decay: float) -> tuple[float, ...]:
    """Each stage's learning rate relative to the head's; 0 for stages that never move.

    The last stage gets `backbone_ratio`, each one below it `stage_decay` times the one above. A
    reset stage has nothing to preserve and learns like the head.
    """
    top = max(plan.indices("tune"), default=0)
    scale = {"tune": backbone_ratio, "reset": 1.0}
    return tuple(
        scale.get(action, 0.0) * (stage_decay ** (top - index) if action == "tune" else 1.0)
        for index, action in enumerate(plan.actions)
    )


def parameter_groups(
    backbone: Backbone,
    head: nn.Module,
    stage_ratios: Sequence[float],
    *,
    lr: float,
    weight_decay: float,
) -> list[dict[str, Any]]:
    """Every parameter that is ever trained, in exactly one group, its ratio baked into `lr`.

    `stage_ratios` has one for each stage, 0 where nothing is trained; the head's is 1.
    Baked in, because any torch schedule then keeps the ratio (timm's `lr_scale` key is read by
    timm's schedulers only). Not decayed are biases, norms and what timm exempts by name, such as
    position embeddings. Groups exist from the first step, also for stages that start later: a
    resumed run finds them as they were.
    """
    exempt = _exempt_from_decay(backbone.net)
    parts: list[tuple[str, float, list[nn.Parameter]]] = [
        (stage.name, ratio, list(backbone.stage_parameters(index).values()))
        for index, (stage, ratio) in enumerate(zip(backbone.stages, stage_ratios, strict=True))
        if ratio > 0
    ]
    parts.append(("head", 1.0, list(head.parameters())))
    groups = []
    for name, ratio, parameters in parts:
        for kind, decay in (("weights", weight_decay), ("no_decay", 0.0)):
            decayed = kind == "weights"
            members = [p for p in parameters if (p.ndim > 1 and id(p) not in exempt) == decayed]
            if members:
                group = {"name": f"{name}/{kind}", "params": members, "lr": lr * ratio}
                groups.append({**group, "weight_decay": decay, "ratio": ratio})
    return groups


def head_rate(lr: float | Auto, lr_scale: float) -> float:
    """The head's rate. Until `auto` has been found only the ratios to it count."""
    return lr_scale if lr == "auto" else lr * lr_scale


def ratios_of(optimizer: Optimizer, backbone: Backbone) -> tuple[float, ...]:
    """What an optimizer does with each stage: its rate relative to the highest, 0 if it has none.

    Read from its groups, whose names begin with the stage's; so what is printed is what is done.
    """
    top = max(group["lr"] for group in optimizer.param_groups)
    rates = {group["name"].partition("/")[0]: group["lr"] for group in optimizer.param_groups}
    return tuple(rates.get(stage.name, 0.0) / top for stage in backbone.stages)


def _exempt_from_decay(net: Any) -> set[int]:
    """The ids of the parameters that a timm model names, by patterns, as not to be decayed."""
    patterns = net.no_weight_decay() if hasattr(net, "no_weight_decay") else ()
    named = net.named_parameters()
    return {id(p) for name, p in named if any(fnmatch(name, pattern) for pattern in patterns)}


def adamw(
    backbone: Backbone,
    plan: Plan,
    head: nn.Module,
    *,
    lr: LearningRate | Auto,
    weight_decay: NonNegative,
    betas: list[float],
    lr_scale: LearningRate = 1.0,
    backbone_ratio: Ratio = 1.0,
    stage_decay: Ratio = 1.0,
    fused: bool = True,
) -> AdamW:
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019)."""
    each = ratios(plan, backbone_ratio=backbone_ratio, stage_decay=stage_decay)
    rate = head_rate(lr, lr_scale)
    groups = parameter_groups(backbone, head, each, lr=rate, weight_decay=weight_decay)
    return AdamW(groups, betas=(betas[0], betas[1]), fused=fused)


def sgd(
    backbone: Backbone,
    plan: Plan,
    head: nn.Module,
    *,
    lr: LearningRate | Auto,
    weight_decay: NonNegative,
    momentum: Fraction,
    lr_scale: LearningRate = 1.0,
    backbone_ratio: Ratio = 1.0,
    stage_decay: Ratio = 1.0,
    fused: bool = True,
) -> SGD:
    """Stochastic gradient descent with Nesterov momentum."""
    each = ratios(plan, backbone_ratio=backbone_ratio, stage_decay=stage_decay)
    rate = head_rate(lr, lr_scale)
    groups = parameter_groups(backbone, head, each, lr=rate, weight_decay=weight_decay)
    return SGD(groups, momentum=momentum, nesterov=momentum > 0, fused=fused)


def cosine(optimizer: Optimizer, steps: int, *, warmup: Fraction) -> LRScheduler:
    """Linear warm-up over a fraction of the steps, then half a cosine down to zero."""
    return LambdaLR(optimizer, lambda step: warmup_cosine(step, steps, round(warmup * steps)))


def constant(optimizer: Optimizer, steps: int, *, warmup: Fraction) -> LRScheduler:
    """Linear warm-up over a fraction of the steps, then no change."""
    start = round(warmup * steps)
    return LambdaLR(optimizer, lambda step: min(1.0, (step + 1) / (start + 1)))


def onecycle(
    optimizer: Optimizer, steps: int, *, warmup: Fraction, div: Annotated[float, Gt(1)]
) -> LRScheduler:
    """Up to each group's rate and down again (Smith and Topin 2018), starting `div` times lower."""
    peaks: Sequence[float] = [group["lr"] for group in optimizer.param_groups]
    momentum = "momentum" in optimizer.defaults or "betas" in optimizer.defaults
    return OneCycleLR(
        optimizer,
        max_lr=list(peaks),
        total_steps=max(steps, 2),
        pct_start=warmup,
        div_factor=div,
        cycle_momentum=momentum,
    )


class Plateau(ReduceLROnPlateau):
    """Torch's, which also knows what it watches."""

    def __init__(self, optimizer: Optimizer, monitor: str, factor: float, patience: int) -> None:
        self.monitor = monitor
        super().__init__(optimizer, LOGGED[monitor], factor, patience)


def plateau(
    optimizer: Optimizer,
    steps: int,
    *,
    monitor: Validated,
    factor: Annotated[float, Gt(0), Lt(1)],
    patience: Annotated[int, Ge(0)],
) -> LRScheduler:
    """No change, but times `factor` after more than `patience` validations without a better one."""
    return Plateau(optimizer, monitor, factor, patience)


def ema(*, decay: Fraction) -> WeightAveraging:
    """Evaluate and keep a moving average of the weights instead of the last ones.

    Lightning's own callback averages as decay·a + (1 − decay)·b, which rounds: with it, frozen
    weights change in the last bit. Interpolating leaves equal numbers equal. A short training
    would otherwise keep much of its first weights, so the decay rises to its value from 0.1, as
    TensorFlow's `ExponentialMovingAverage` has it.
    """

    def average(averages: Any, weights: Any, count: Any) -> None:
        risen = min(decay, (1 + int(count)) / (10 + int(count)))
        get_ema_multi_avg_fn(risen)(averages, weights, count)

    return WeightAveraging(multi_avg_fn=average)


def warmup_cosine(step: int, steps: int, warmup: int) -> float:
    """Scale of the learning rate at `step`.

    >>> [round(warmup_cosine(step, steps=6, warmup=2), 2) for step in range(7)]
    [0.33, 0.67, 1.0, 0.85, 0.5, 0.15, 0.0]
    """
    if step < warmup:
        return (step + 1) / (warmup + 1)
    progress = (step - warmup) / max(1, steps - warmup)
    return 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
