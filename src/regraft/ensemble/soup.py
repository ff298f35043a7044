"""A soup: one network whose weights are the mean of several runs' (Wortsman et al. 2022, Model
soups: averaging weights of multiple fine-tuned models improves accuracy without increasing
inference time).

Networks that began with the same weights often end in the same basin, where their mean is as good
as they are; others have no such thing in common, and their mean is nothing.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from regraft.ensemble.members import Member
from regraft.errors import RegraftError
from regraft.jobs import load_result, table
from regraft.paths import shown

State = dict[str, Tensor]
WHY = "a mean of weights means something only for runs that began with the same ones"


@dataclass(frozen=True)
class Soup:
    """Which runs are in it, by number, its weights, and its accuracy on the validation images."""

    ingredients: tuple[int, ...]
    state: State
    acc: float


def greedy(states: Iterable[State], judge: Callable[[State], tuple[float, State]]) -> Soup:
    """The best run first, each other one is added if accuracy does not fall by it.

    `states` come by falling validation accuracy, each is used once. `judge` gives the accuracy of
    weights on the validation images, and the weights as they were judged.
    """
    total: State = {}
    found: Soup | None = None
    for number, state in enumerate(states):
        chosen = (*(found.ingredients if found else ()), number)
        trial = add(total, state)
        acc, judged = judge(mean(trial, len(chosen), state))
        if found is None or acc >= found.acc:
            total, found = trial, Soup(chosen, judged, acc)
    assert found is not None
    return found


def add(total: State, state: State) -> State:
    """The sum of what can be averaged, in double precision: counters cannot."""
    floats = {name: tensor.double() for name, tensor in state.items() if tensor.is_floating_point()}
    return {name: total[name] + tensor if total else tensor for name, tensor in floats.items()}


def mean(total: State, count: int, like: State) -> State:
    """A sum of `count` states as their mean, in the types of one of them, which gives the rest."""
    means = {name: (tensor / count).to(like[name].dtype) for name, tensor in total.items()}
    return {name: means.get(name, tensor) for name, tensor in like.items()}


def refuse_other_starts(runs: Sequence[Member], *, random_head: bool) -> None:
    """Raises RegraftError, naming two, if runs began with other weights than the first.

    With a `random_head`, whose first weights depend on the seed, runs must share that, too.
    """
    first = runs[0]
    own = start(first, random_head)
    for run in runs[1:]:
        theirs = start(run, random_head)
        for what, value in own.items():
            if theirs[what] != value:
                raise RegraftError(
                    f"--soup: {shown(run.job.folder)} began with {what} {theirs[what]}, "
                    f"{shown(first.job.folder)} with {value}: {WHY}; choose them with --where, "
                    "as in --where strategy=finetune"
                )


def start(run: Member, random_head: bool) -> dict[str, Any]:
    """What the first weights of a run follow from, in the words of an error about it."""
    record, _ = load_result(run.job.folder / "result.json")
    actions = [row.get("action") for row in record.get("plan") or []]
    sha256 = table(record, "weights").get("sha256")
    drawn = random_head or sha256 is None or "reset" in actions
    return {
        "backbone": record.get("backbone"),
        "images of": table(record, "input").get("size"),
        "weights": sha256[:12] if sha256 else "that are random",
        "new stages": [n for n, action in enumerate(actions) if action in ("reset", "drop")],
        "random weights of seed": run.job.seed if drawn else None,
    }


def refuse_other_shapes(first: State, other: State, where: str) -> None:
    """Raises RegraftError for a state that cannot be averaged with the first."""
    shapes = {name: tuple(tensor.shape) for name, tensor in first.items()}
    for name in sorted(first.keys() | other.keys()):
        here = tuple(other[name].shape) if name in other else "missing"
        if here != shapes.get(name):
            raise RegraftError(
                f"--soup: {where}: {name} is {here}, and in the best run "
                f"{shapes.get(name, 'missing')}; choose runs with one head by --where head=…"
            )


def moved_statistics(first: State, state: State) -> list[str]:
    """The BatchNorms, by name, whose statistics are not those of the first run.

    Those that no run has trained are the same in all of them, and so in their mean, to the bit.
    """
    ends = (".running_mean", ".running_var")
    names = (name for name in state if name.endswith(ends))
    changed = (name for name in names if not torch.equal(state[name], first[name]))
    return list(dict.fromkeys(name.rpartition(".")[0] for name in changed))
