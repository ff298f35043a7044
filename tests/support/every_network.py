"""Every network that timm names: its stages, what it gives, and where it can be cut; a row each.

    python tests/support/every_network.py

writes `benchmarks/results/networks.csv` and goes on where it was stopped. Nothing is computed: the
tensors have sizes and no values (PyTorch's device "meta"), so that networks of seven billion
parameters are among them. Networks of one kind (the same modules and parameters, only in other
numbers and sizes) are built and sent an image each, and cut once.
"""

import csv
import hashlib
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import timm
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from regraft.backbone import Backbone
from regraft.cut import cut
from regraft.errors import RegraftError
from regraft.trace import trace

TABLE = Path(__file__).parents[2] / "benchmarks/results/networks.csv"
COLUMNS = (
    *("name", "outcome", "size", "parameters", "stages", "features", "map"),
    *("kind", "cuts", "why"),
)
BATCH_NORM = "native_batch_norm"


class Impure(TorchDispatchMode):
    """Notes what is not a function of the image: random numbers and batch statistics."""

    def __init__(self) -> None:
        super().__init__()
        self.watching, self.trained, self.seen = True, 0, set[str]()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        name = func.overloadpacket.__name__
        random = torch.Tag.nondeterministic_seeded in func.tags
        # Not without running statistics: so are weights standardised.
        learns = BATCH_NORM in name and args[3] is not None and any(a is True for a in args)
        if self.watching and not self.trained and (random or learns):
            self.seen.add(name)
        return func(*args, **(kwargs or {}))


def row(name: str, kinds: set[str]) -> dict[str, Any]:
    """What becomes of the network: it "works", or is "refused" and why; else it is a fault of ours.

    It also works if it has no map, or can be cut at fewer places than it has stages. It is cut if
    its kind is none of `kinds`, which then has it.
    """
    try:
        with torch.device("meta"), warnings.catch_warnings(action="ignore"):
            backbone = Backbone(name=name)
    except RegraftError as error:
        return {"name": name, "outcome": "refused", "why": str(error)}
    found = {
        "name": name,
        "outcome": "works",
        "size": "x".join(map(str, backbone.input.size)),
        "parameters": sum(stage.parameters for stage in backbone.stages),
        "stages": len(backbone.stages),
        "features": backbone.out_features,
        "map": "x".join(map(str, backbone.map_shape or ())) or "none",
        "kind": kind(backbone.net),
    }
    if found["kind"] not in kinds:
        kinds.add(found["kind"])
        with torch.no_grad():
            if seen := impure(backbone):  # a fault of ours, which the nightly test tells
                found["outcome"] = f"impure: {', '.join(sorted(seen))}"
            found["cuts"], found["why"] = cut_points(backbone)
    return found


def kind(net: nn.Module) -> str:
    """The same for networks that differ in numbers and sizes alone."""
    types = {f"{type(module).__module__}.{type(module).__qualname__}" for module in net.modules()}
    names = {re.sub(r"\d+", "0", name) for name, _ in net.named_parameters()}
    return hashlib.sha256(repr((sorted(types), sorted(names))).encode()).hexdigest()[:8]


def cut_points(backbone: Backbone) -> tuple[str, str]:
    """How many stages of how many are cut off, for the first, half of them and all but the last;
    why fewer."""
    depth = len(backbone.stages)
    asked = [1, max(1, depth // 2), depth - 1]
    once = cache(partial(trace, backbone, torch.zeros(1, 3, *backbone.input.size, device="meta")))
    with (
        patch("regraft.cut._close", lambda found, expected: found.shape == expected.shape),
        patch("regraft.cut.trace", lambda *_: once()),
    ):
        found = [cut(backbone, stages, "pooled") for stages in asked]
    notes = [one.note for one in found if one.note]
    cuts = [f"{one.stages}/{stages}" for one, stages in zip(found, asked, strict=True)]
    return " ".join(cuts), notes[0] if notes else ""


def impure(backbone: Backbone) -> set[str]:
    """What a network in training does that is random or learns statistics, in frozen stages.

    With all of them frozen; and with half of them, before the first that is not.
    """
    depth = len(backbone.stages)
    found = _impure(backbone, range(depth))
    found |= _impure(backbone, range(depth // 2))
    backbone.freeze(())
    return found


def _impure(backbone: Backbone, frozen: range) -> set[str]:
    backbone.freeze(frozen)
    backbone.train()
    with Impure() as noted, _until(backbone, len(frozen), noted):
        backbone(torch.zeros(2, 3, *backbone.input.size, device="meta"))
    return noted.seen


@contextmanager
def _until(backbone: Backbone, stage: int, noted: Impure) -> Iterator[None]:
    """Notes nothing any more once a module of this stage is called, nor inside later stages."""

    def stop(*_: Any) -> None:
        noted.watching = False

    def enter(*_: Any) -> None:
        noted.trained += 1

    def leave(*_: Any) -> None:
        noted.trained -= 1

    handles = []
    for module, stages in backbone._stages_of:
        if stages == {stage}:
            handles.append(module.register_forward_pre_hook(stop))
        elif len(stages) == 1 and min(stages) > stage:  # trained by right, where kept ones read it
            handles.append(module.register_forward_pre_hook(enter))
            handles.append(module.register_forward_hook(leave))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def read() -> dict[str, dict[str, str]]:
    """The rows of the table by name; none if there is no table."""
    if not TABLE.exists():
        return {}
    with TABLE.open(newline="", encoding="utf-8") as file:
        return {row["name"]: row for row in csv.DictReader(file)}


def main() -> None:
    torch.set_num_threads(1)
    known = read()
    kinds = {row["kind"] for row in known.values() if row["cuts"]}
    with TABLE.open("a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        if not known:
            writer.writeheader()
        names = timm.list_models()
        for name in (
            one for first in range(7) for one in names[first::7]
        ):  # soon some of each kind
            if name not in known:
                try:
                    found = row(name, kinds)
                except Exception as error:
                    found = {"name": name, "outcome": "fault", "why": repr(error)}
                writer.writerow(found)
                file.flush()


if __name__ == "__main__":
    main()
