"""What `strategy=probe` adds to a linear head on a frozen trunk: scores of its features.

`sweep=backbones` ranks its candidates by them. They are measured before anything is trained, on
training images alone: the test split judges, it does not choose.
"""

import csv
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from annotated_types import Ge
from torch import Tensor

from regraft import scores
from regraft.backbone import Backbone
from regraft.data import subset
from regraft.data.images import Images
from regraft.errors import RegraftError
from regraft.escaping import in_csv
from regraft.features import Computed
from regraft.jobs import PROBED
from regraft.paths import whole
from regraft.plan import Strategy
from regraft.scores import Probe as Asked


@dataclass(frozen=True, kw_only=True)
class Probe(Strategy):
    """The strategy `probe`: of how many training images, at most, the features are scored."""

    images: Annotated[int, Ge(10)]


def answer(
    strategy: Probe,
    backbone: Backbone,
    images: Images,
    computed: Computed | None,
    why_not: str,
    folder: Path,
) -> dict[str, Any]:
    """Score the training split's features; which images were told right goes to probe.csv.

    Where only the first stages are kept, their maps or tokens are averaged over positions.
    Raises RegraftError without features, for features that say nothing (see scores.check), and for
    a probe that does not converge.
    """
    if computed is None:
        raise RegraftError(
            f"strategy=probe needs features that are computed once, which they are not: {why_not}"
        )
    started = time.perf_counter()
    maps, every = computed.data.tensors["train"]
    rows, classes = _pooled(maps, backbone).cpu().numpy(), every.cpu().numpy()
    scores.check(rows, classes)
    asked = subset.some(classes, strategy.images)
    features, labels = np.ascontiguousarray(rows[asked], dtype=np.float32), classes[asked]
    linear, near = scores.linear(features, labels), scores.neighbours(features, labels)
    names = [images.names["train"][index] for index in asked]
    true = [images.classes[label] for label in labels]
    _write(folder / PROBED, names, true, linear, near)
    return {
        "linear": _as_dict(linear),
        "neighbours": _as_dict(near),
        "logme": scores.logme(features, labels),
        "hscore": scores.hscore(features, labels),
        "majority": scores.majority(labels),
        "images": len(labels),
        "features": features.shape[1],
        "params": sum(stage.parameters for stage in backbone.stages),
        "weights": backbone.weights,
        "seconds": round(time.perf_counter() - started, 3),
    }


def _pooled(maps: Tensor, backbone: Backbone) -> Tensor:
    """Rows (N, C) of what the kept stages give, some images at a time."""
    if maps.ndim == 2:
        return maps
    return torch.cat([backbone.mean_over_positions(part.float()) for part in maps.split(256)])


def _as_dict(probe: Asked) -> dict[str, float]:
    low, high = probe.interval
    return {"acc": probe.acc, "low": low, "high": high}


def _write(
    path: Path, names: Sequence[str], true: Sequence[str], linear: Asked, near: Asked
) -> None:
    """One row per image: its name and class, and whether the probes told it right (1) or not."""
    with whole(path) as unfinished, unfinished.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["name", "true", "linear", "neighbours"])
        answers = zip(names, true, linear.right, near.right, strict=True)
        writer.writerows(
            (in_csv(name), in_csv(label), int(one), int(two)) for name, label, one, two in answers
        )
