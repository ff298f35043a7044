"""Supervised on formula-driven images (Kataoka et al. 2020): the recipe of the embedded weights,
for any backbone. No image of anybody's is needed."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import torch.nn.functional as F
from annotated_types import Ge
from torch import Tensor, nn

from regraft import card, embedded
from regraft.backbone import Backbone
from regraft.data.fractals import cached
from regraft.data.sources import Seed, Source, Split
from regraft.pretrain.method import Everything, Learned, Method, Task

HELD_BACK = 40  # of each class, on which preset=pretrain_fractals validates and tests


@dataclass(frozen=True, kw_only=True)
class Fractals(Method):
    """So many `classes` of so many `images` each."""

    classes: Annotated[int, Ge(2)]
    images: Annotated[int, Ge(1)]
    fractal_seed: Seed

    def source(self, everything: Everything, backbone: Backbone) -> Source:
        pixels = cached(
            "source",
            self.classes,
            self.images,
            size=max(backbone.input.size),
            seed=self.fractal_seed,
            start=HELD_BACK,
        )
        labels = np.repeat(np.arange(self.classes, dtype=np.int64), self.images)
        train = Split(pixels, labels, tuple(f"train/{index}" for index in range(len(labels))))
        nothing = train.take(np.arange(0))
        names = tuple(f"source_{index}" for index in range(self.classes))
        return Source("fractals", names, train, nothing, nothing)

    def learn(self, task: Task) -> list[Learned]:
        backbone, started = task.backbone.to(task.device), time.perf_counter()
        head = nn.Linear(backbone.out_features, self.classes).to(task.device)

        def loss_of(x: Tensor, y: Tensor) -> Tensor:
            return F.cross_entropy(head(backbone(backbone.input.normalize(x))), y)

        return self.minimise_whole(loss_of, head, task, started)

    def shipped(self, backbone: Backbone) -> Path | None:
        """The embedded weights, where they are asked for with the settings that they have."""
        known = card.read(embedded.WEIGHTS)
        same = (known.get("backbone"), known.get("settings")) == (backbone.name, self.settings)
        return embedded.WEIGHTS if same else None
