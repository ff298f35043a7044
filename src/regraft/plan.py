"""The transfer plan: one action per stage of the backbone, decided before any training."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Literal

from annotated_types import Ge, Le

from regraft.backbone import Backbone, Output
from regraft.errors import RegraftError
from regraft.weights import Weights

Action = Literal["keep", "tune", "reset", "drop"]
Above = Literal["tune", "reset", "drop"]
Quadrant = Literal["small_similar", "big_similar", "small_dissimilar", "big_dissimilar"]
Fraction = Annotated[float, Ge(0), Le(1)]


@dataclass(frozen=True)
class Plan:
    """What happens to each stage, counted from the input.

    `keep` is pretrained and fixed, `tune` pretrained and trained, `reset` random and trained,
    `drop` removed. A stage with `starts` 0.4 stays as it is for the first 40 % of the steps.
    """

    actions: tuple[Action, ...]
    starts: tuple[float, ...]
    fixed_norm: bool = False  # BatchNorm statistics stay as they are in trained stages too
    surgical: bool = False  # a kept stage may lie above a trained one

    def __post_init__(self) -> None:
        trained = [i for i, action in enumerate(self.actions) if action in ("tune", "reset")]
        kept = self.indices("keep")
        if trained and kept and max(kept) > min(trained) and not self.surgical:
            raise RegraftError(
                f"freeze: stage {max(kept)} is kept above stage {min(trained)}, which is trained, "
                "so what it learned is lost on a changed input; keep the first stages, or set "
                "freeze.surgical=true"
            )
        dropped = self.indices("drop")
        if dropped and dropped != tuple(range(dropped[0], len(self.actions))):
            raise RegraftError(
                "freeze: only the last stages can be dropped, not one between others"
            )
        if dropped and dropped[0] == 0:
            raise RegraftError("freeze: every stage is dropped; keep or train at least the stem")

    def indices(self, *actions: Action) -> tuple[int, ...]:
        """Stages with one of these actions."""
        return tuple(i for i, action in enumerate(self.actions) if action in actions)

    @property
    def leading_kept(self) -> int:
        """How many stages are kept from the input up: a pure function of the image."""
        trained = self.indices("tune", "reset", "drop")
        return trained[0] if trained else len(self.actions)

    def frozen(self, progress: float) -> frozenset[int]:
        """Stages that do not move at this fraction of the training's steps, from 0 to 1."""
        return frozenset(
            index
            for index, (action, start) in enumerate(zip(self.actions, self.starts, strict=True))
            if action == "keep" or (action in ("tune", "reset") and progress < start)
        )

    def rows(
        self, backbone: Backbone, ratios: Sequence[float], *, cached: int
    ) -> list[dict[str, object]]:
        """The plan as a table, a row per stage; `ratios` are relative to the head's rate.

        What the first `cached` stages give is computed once.
        """
        return [
            {
                "stage": stage.name,
                "modules": ", ".join(stage.modules[:3]) + (" …" if len(stage.modules) > 3 else ""),
                "params": stage.parameters,
                "action": action,
                "lr_ratio": ratio if action in ("tune", "reset") else None,
                "starts": start,
                "cached": index < cached,
            }
            for index, (stage, action, start, ratio) in enumerate(
                zip(backbone.stages, self.actions, self.starts, ratios, strict=True)
            )
        ]


@dataclass(frozen=True, kw_only=True)
class Strategy:
    """A named answer to several questions, and the cell of the 2×2 where the textbook puts it."""

    name: str
    quadrant: Quadrant | None


def graft(plan: Plan, backbone: Backbone) -> Weights | None:
    """Carry the plan out on the backbone, as it stands before the first step.

    Returns the pretrained weights that were read, None if no stage wanted any.
    """
    weights = backbone.graft(pretrained=plan.indices("keep", "tune"), dropped=plan.indices("drop"))
    # Random weights have no statistics worth keeping.
    backbone.freeze(plan.frozen(0.0), fixed_norm=plan.fixed_norm and weights is not None)
    return weights


def drop_unread(plan: Plan, backbone: Backbone, takes: Output) -> Plan:
    """The plan without the stages that a head which `takes` the map does not read, as VGG has one.

    They would be printed as trained, and counted, without ever changing.
    """
    read, depth = backbone.map_stages, len(plan.actions)
    if takes != "map" or not (
        unread := [i for i in range(read, depth) if plan.actions[i] != "drop"]
    ):
        return plan
    backbone.graft(dropped=unread)
    gone: tuple[Action, ...] = ("drop",)
    made = replace(plan, actions=plan.actions[:read] + gone * (depth - read))
    backbone.freeze(made.frozen(0.0))
    return made


# Freeze policies. Facts first: how many stages the backbone has, how many images there are to
# learn from. `fixed_norm_below`: with fewer images than this, batch statistics are too noisy to
# learn from and tuned stages keep the pretrained ones, as LP-FT does (Kumar et al. 2022).


def none(depth: int, images: int, *, above: Above, fixed_norm_below: int) -> Plan:
    """Freeze nothing: every stage is trained."""
    return first(depth, images, stages=0, above=above, fixed_norm_below=fixed_norm_below)


def everything(depth: int, images: int) -> Plan:
    """Freeze every stage: only the head is trained."""
    actions: tuple[Action, ...] = ("keep",)
    return Plan(actions * depth, (0.0,) * depth)


def first(
    depth: int, images: int, *, stages: Annotated[int, Ge(0)], above: Above, fixed_norm_below: int
) -> Plan:
    """Freeze the first `stages` stages and do something else with those `above`."""
    if stages > depth:
        there = f"the backbone has {depth} stages (stem included)"
        raise RegraftError(f"freeze.stages={stages}: {there}")
    kept: list[Action] = ["keep"] * stages
    others: list[Action] = [above] * (depth - stages)
    actions = (*kept, *others)
    return Plan(actions, (0.0,) * depth, _fixed_norm(actions, images, fixed_norm_below))


def gradual(
    depth: int, images: int, *, begin: Fraction, end: Fraction, fixed_norm_below: int
) -> Plan:
    """Unfreeze from the top: the last stage at `begin` of the training, the first at `end`.

    With `begin` equal to `end` this is LP-FT: a linear probe, then everything at once. Gradual
    unfreezing: Howard and Ruder 2018; LP-FT: Kumar et al. 2022.
    """
    if begin > end:
        raise RegraftError(f"freeze.begin={begin} is later than freeze.end={end}; swap them")
    step = (end - begin) / (depth - 1) if depth > 1 else 0.0
    starts = tuple(begin + step * (depth - 1 - index) for index in range(depth))
    tuned: list[Action] = ["tune"] * depth
    return Plan(tuple(tuned), starts, _fixed_norm(tuple(tuned), images, fixed_norm_below))


def custom(
    depth: int,
    images: int,
    *,
    actions: list[Action],
    fixed_norm_below: int,
    surgical: bool = False,
) -> Plan:
    """Each stage's action spelt out, from the input up (surgical fine-tuning: Lee et al. 2023)."""
    if len(actions) != depth:
        raise RegraftError(
            f"freeze.actions names {len(actions)} stages, but the backbone has {depth}"
        )
    fixed_norm = _fixed_norm(tuple(actions), images, fixed_norm_below)
    return Plan(tuple(actions), (0.0,) * depth, fixed_norm, surgical)


def _fixed_norm(actions: tuple[Action, ...], images: int, below: int) -> bool:
    # A reset stage has no statistics worth keeping: it has to find its own.
    return images < below and "reset" not in actions
