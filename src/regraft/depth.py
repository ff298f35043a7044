"""What every stage of a backbone gives for an image: features by depth, in one pass, computed once.

The output of a stage is averaged over its positions, so a map of any size becomes a row.
"""

import logging
import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from regraft import recipe
from regraft.backbone import Backbone, Stage
from regraft.data.images import Images, SplitName, Watch
from regraft.store import NotStoredError, Store

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Depths:
    """Features (N, C) of the images by name of the stage, from the input up; the last is what a
    head takes."""

    by_stage: dict[str, np.ndarray]

    @property
    def last(self) -> np.ndarray:
        return [*self.by_stage.values()][-1]


def depths(
    backbone: Backbone,
    images: Images,
    split: SplitName,
    store: Store | None,
    watch: Watch,
    device: torch.device,
) -> Depths:
    """Send a split through the backbone once, or read what an earlier job has computed.

    The weights must be in place. Without a store, or where it has no room, nothing is kept.
    """
    backbone.to(device)
    widths = _widths(backbone, device)
    total = sum(widths.values())
    count = images.sizes[split]
    about = {"backbone": backbone.name, "stages": "each", "data": f"{images.source.name} {split}"}

    def chunks() -> Iterable[np.ndarray]:
        made = images.unchanged(split, _forward(backbone, images, split, device))
        batches = math.ceil(count / images.batch_size)
        return watch(made, batches, f"features of {backbone.name}, {split}")

    def kept(store: Store) -> np.ndarray:
        shape = (count, total)
        store.require_room(shape, "float32")
        network = recipe.of_network(backbone, len(backbone.stages), device)
        name = images.key(split, what="mean of each stage's output", means=list(widths), **network)
        return store.compute(name, shape, "float32", chunks(), about)

    try:
        array = kept(store) if store else None
    except NotStoredError as error:
        _log.warning("%s; the features are not kept", error)
        array = None
    if array is None:
        array = np.concatenate([*chunks()])
    ends = np.cumsum([0, *widths.values()])
    columns = zip(widths, ends, ends[1:], strict=False)
    return Depths({stage: array[:, start:end] for stage, start, end in columns})


def _forward(
    backbone: Backbone, images: Images, split: SplitName, device: torch.device
) -> Iterator[np.ndarray]:
    with torch.no_grad(), _in_evaluation(backbone):
        for inputs, _ in images.loader(split, shuffle=False):
            rows = _pass(backbone, images.input.normalize(inputs.to(device)))
            yield torch.cat([*rows.values()], 1).float().cpu().numpy()


def _widths(backbone: Backbone, device: torch.device) -> dict[str, int]:
    with torch.no_grad(), _in_evaluation(backbone):
        image = torch.zeros(1, 3, *backbone.input.size, device=device)
        widths = {name: row.shape[1] for name, row in _pass(backbone, image).items()}
    backbone.images_forwarded -= 1
    return widths


def _pass(backbone: Backbone, inputs: Tensor) -> dict[str, Tensor]:
    """The mean over positions of what each stage's last module gives, and of what a head takes."""
    given: dict[str, Tensor] = {}

    def keep(stage: str, output: object) -> None:
        if isinstance(output, Tensor) and len(output) == len(inputs) and output.ndim > 1:
            given[stage] = output

    handles = [
        module.register_forward_hook(lambda _, __, output, stage=stage.name: keep(stage, output))
        for stage, module in _modules(backbone)
    ]
    try:
        head = backbone(inputs)
    finally:
        for handle in handles:
            handle.remove()
    rows = {
        stage.name: backbone.mean_over_positions(given[stage.name])
        for stage in backbone.stages[:-1]
        if stage.name in given
    }
    return rows | {backbone.stages[-1].name: head}


def _modules(backbone: Backbone) -> Iterator[tuple[Stage, nn.Module]]:
    for stage in backbone.stages:
        for path in stage.modules:
            yield stage, backbone.net.get_submodule(path)


@contextmanager
def _in_evaluation(backbone: Backbone) -> Iterator[None]:
    mode = backbone.training
    backbone.eval()
    try:
        yield
    finally:
        backbone.train(mode)
