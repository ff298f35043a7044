"""The activation cache: the output of frozen leading stages, computed once for every epoch and job.

PyTorch's users ask for it since 2018; its key is everything that the output depends on, so it
cannot go stale.
"""

import logging
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
import pytorch_lightning as pl
import torch
from annotated_types import Ge, Gt
from rich.filesize import decimal

from regraft import recipe
from regraft.backbone import Backbone
from regraft.batches import Features
from regraft.cut import Cut
from regraft.cut import cut as cut_above
from regraft.data.augment import CHANGES, Augment, Mixup
from regraft.data.images import Images, SplitName, Watch, as_tensor
from regraft.errors import RegraftError
from regraft.head import Head
from regraft.paths import features_folder
from regraft.plan import Plan
from regraft.store import NotStoredError, Store

SPLITS: tuple[SplitName, ...] = ("train", "val", "test")
ON_DEVICE = 2**31  # bytes
_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Caching:
    """The choice `features=`: whether the output of frozen stages is kept, and how."""

    use: Literal["auto", "on", "off"]
    dtype: Literal["float16", "float32"]
    views: Annotated[int, Ge(0)]
    max_gb: Annotated[float, Gt(0)]

    @property
    def store(self) -> Store:
        return Store(features_folder(), int(self.max_gb * 10**9))


@dataclass(frozen=True)
class Decision:
    """Whether leading stages are computed once: where the backbone is cut, or why it is not."""

    cut: Cut | None
    reason: str

    @property
    def stages(self) -> int:
        return self.cut.stages if self.cut else 0


def decide(
    caching: Caching,
    plan: Plan,
    backbone: Backbone,
    head: Head,
    images: Images,
    devices: int = 1,
) -> Decision:
    """Cut the backbone above its frozen leading stages, if what they give can be kept.

    Raises RegraftError if `features=on` asks for what cannot be done.
    """
    if caching.views and images.augment is None:
        _log.warning("features.views=%d has no effect: augment=none", caching.views)
    found = _decide(caching, plan, backbone, head, images)
    if devices > 1 and found.cut is not None:
        found = Decision(None, f"{devices} devices train together")
    if caching.use == "on" and found.cut is None:
        raise RegraftError(f"features=on: {found.reason}; choose features=auto")
    return found


def _decide(
    caching: Caching, plan: Plan, backbone: Backbone, head: Head, images: Images
) -> Decision:
    if caching.use == "off":
        return Decision(None, "features=off")
    if not plan.leading_kept:
        return Decision(None, "no leading stage is kept")
    if isinstance(images.augment, Mixup):
        return Decision(None, "augment mixes images with each other, anew in every epoch")
    if images.augment is not None and not caching.views:
        return Decision(
            None, "augment changes images in every epoch; features.views=8 keeps 8 versions of each"
        )
    if images.augment is not None and " at 0x" in repr(images.augment):
        return Decision(None, "augment does not say what it does: it needs a __repr__ of its own")
    made = cut_above(backbone, plan.leading_kept, head.takes)
    if not made.stages:
        return Decision(None, made.note or "the backbone cannot be cut")
    size = nbytes(caching, made, images)
    what = f"{decimal(size)}, {'×'.join(map(str, made.shape))} {caching.dtype} per image"
    if images.augment is not None:
        what += f", {_views(caching.views)} per training image"
    if not caching.store.fits(size):
        budget = f"features.max_gb={caching.max_gb:g} ({decimal(int(caching.max_gb * 10**9))})"
        return Decision(None, f"{what}, is more than {budget}")
    if caching.store.is_useless():
        why = "not writable; set REGRAFT_CACHE to another folder"
        return Decision(None, f"{caching.store.root}: {why}")
    note = f"; {made.note}" if made.note else ""
    return Decision(made, f"first {made.stages} of {len(plan.actions)} stages: {what}{note}")


def _views(count: int) -> str:
    return f"{count} view{'s' * (count != 1)}"


def nbytes(caching: Caching, cut: Cut, images: Images) -> int:
    """How large what is kept is: the activations of every version of every image."""
    each = math.prod(cut.shape) * np.dtype(caching.dtype).itemsize
    return each * sum(images.sizes[split] * copies(caching, images, split) for split in SPLITS)


def augmentation(images: Images, split: SplitName) -> Augment | None:
    """What makes the random versions of a split's images; None where they are taken as they are."""
    return images.augment if split == "train" else None


def copies(caching: Caching, images: Images, split: SplitName) -> int:
    """How many versions of each image are kept."""
    return caching.views if augmentation(images, split) is not None else 1


@dataclass(frozen=True)
class Computed:
    """Activations of every split, and what having them has cost and saves."""

    data: Features
    hit: bool  # whether nothing had to be computed
    bytes: int
    seconds: float  # spent here, on computing, waiting or reading
    passes: dict[SplitName, float]  # seconds that sending a split through the stages takes at least
    warming: float = 0.0  # and what the first batches of a process take longer, once


def cost(computed: Computed | None, history: Sequence[Mapping[str, float]]) -> dict[str, Any]:
    """What computing once has cost a training with this history, and what it has saved at least.

    Without it, every epoch sends the training split through the frozen stages, every validation
    the validation split, and the final judgement that and the test split. How long that takes was
    measured when they were computed, at the pace of the fastest batch. The first one of a process
    takes many times as long, but only once.
    """
    if computed is None:
        return {"cache": "off"}
    validations = sum("val/acc" in row for row in history)
    passes = {"train": len(history), "val": validations + 1, "test": 1}
    instead = computed.warming
    instead += sum(passes[split] * seconds for split, seconds in computed.passes.items())
    return {
        "cache": "hit" if computed.hit else "miss",
        "cache_bytes": computed.bytes,
        "cache_s": round(computed.seconds, 3),
        "saved_s": round(instead - computed.seconds, 3),
    }


def compute(
    caching: Caching,
    once: Decision,
    backbone: Backbone,
    images: Images,
    trainer: pl.Trainer,
    watch: Watch,
) -> tuple[Decision, Computed | None]:
    """The cut's activations for every image, from the store or through the network, once.

    None without a cut; and, with a line in the log and a decision that says why, if they cannot
    be kept. Raises NotStoredError for that with `features=on`.
    """
    if (cut := once.cut) is None:
        return once, None
    started = time.perf_counter()
    # Where the images will be sent through, and in which precision, decides on the last digits.
    trainer.precision_plugin.convert_module(backbone.to(trainer.strategy.root_device)).eval()
    before = backbone.images_forwarded
    try:
        common = depends_on(cut, backbone, trainer)
        found = {
            split: _split(caching, common, cut, images, split, trainer, watch)
            for split in images.splits
        }
    except NotStoredError as error:
        if caching.use == "on":
            raise
        _log.warning("%s; frozen stages are computed in every epoch", error)
        return Decision(None, str(error)), None
    finally:
        backbone.train()  # Lightning trains modules in the mode that it finds them in
    size = sum(array.nbytes for array, _ in found.values())
    paces = {split: about["image_s"] for split, (_, about) in found.items() if "image_s" in about}
    pace = min(paces.values(), default=0.0)
    longer = (
        found[split][1]["first_s"] - pace * min(images.batch_size, images.sizes[split])
        for split in paces
    )
    # On an accelerator, batches of small sets are cut where they are used.
    device = trainer.strategy.root_device if size <= ON_DEVICE else torch.device("cpu")
    tensors = {
        split: (as_tensor(array).to(device), images.labels(split).to(device))
        for split, (array, _) in found.items()
    }
    computed = Computed(
        Features(tensors, images.batch_size, images.balance),
        hit=backbone.images_forwarded == before,
        bytes=size,
        seconds=time.perf_counter() - started,
        passes={split: pace * images.sizes[split] for split in SPLITS},
        warming=sum(longer),
    )
    return once, computed


def depends_on(cut: Cut, backbone: Backbone, trainer: pl.Trainer) -> dict[str, Any]:
    """What activations depend on besides the images, the same for all splits."""
    network = recipe.of_network(backbone, cut.stages, trainer.strategy.root_device)
    return {**network, "activation": list(cut.shape), "precision": trainer.precision}


def key_of(
    images: Images, split: SplitName, common: dict[str, Any], augment: Any, dtype: str
) -> str:
    """The key of a split's activations, of which `augment` says what was drawn."""
    return images.key(split, what="activations", augment=augment, dtype=dtype, **common)


def _split(
    caching: Caching,
    common: dict[str, Any],
    cut: Cut,
    images: Images,
    split: SplitName,
    trainer: pl.Trainer,
    watch: Watch,
) -> tuple[np.ndarray, dict[str, Any]]:
    """A split's activations, memory-mapped, and what was measured of them, see `_forward`."""
    augment, count = augmentation(images, split), copies(caching, images, split)
    shape = (images.sizes[split] * count, *cut.shape)
    # The batches' sizes decide what is drawn for which image.
    drawn = None
    if augment is not None:
        drawn = [CHANGES, type(augment).__module__, repr(augment), count, images.batch_size]
    ways = [
        (stored, key_of(images, split, common, drawn, kind))
        for stored, kind in ((caching.dtype, caching.dtype), ("float32", "beyond float16"))
    ]
    if caching.store.entry(ways[1][1]):  # half precision was tried, and does not do
        ways.reverse()
    if count > 1 and not any(caching.store.entry(name) for _, name in ways):
        images.keep_decoded(caching.store, watch, [split])  # or each file is read `count` times
    for dtype, name in ways:
        about: dict[str, Any] = {
            "backbone": common["network"],
            "stages": f"first {cut.stages} stages",
            "data": f"{images.source.name} {split}",
        }
        if augment is not None:
            about["views"] = _views(count)
        batches = math.ceil(images.sizes[split] / images.batch_size) * count
        made = images.unchanged(split, _forward(cut, images, split, count, trainer, dtype, about))
        chunks = watch(made, batches, f"frozen stages, {split}")
        try:
            array = caching.store.compute(name, shape, dtype, chunks, about)
        except _TooLargeForHalfError:
            continue
        entry = caching.store.entry(name)
        return array, entry.record.get("about", {}) if entry else {}
    raise AssertionError("full precision holds every activation")


class _TooLargeForHalfError(Exception):
    """An activation beyond 65504, the largest number of half precision."""


@torch.no_grad()
def _forward(
    cut: Cut,
    images: Images,
    split: SplitName,
    copies: int,
    trainer: pl.Trainer,
    dtype: str,
    about: dict[str, Any],
) -> Iterator[np.ndarray]:
    """A split's activations in batches; the fewest seconds that an image has taken here, without
    its reading (`image_s`), and those of the first batch (`first_s`) go to `about`."""
    device, precision = trainer.strategy.root_device, trainer.precision_plugin
    augment = augmentation(images, split)
    for copy in range(copies):
        for number, (inputs, _) in enumerate(images.loader(split, shuffle=False)):
            started = time.perf_counter()
            inputs = inputs.to(device)
            if augment is not None:
                with torch.random.fork_rng():
                    torch.manual_seed(number * copies + copy)  # of no job: all share the copies
                    inputs = augment(inputs)
            with precision.forward_context():
                normal = precision.convert_input(images.input.normalize(inputs))
                activations = cut.prefix(normal).float()
            kept = activations.to(getattr(torch, dtype))
            if kept.isinf().any() and not activations.isinf().any():
                raise _TooLargeForHalfError
            rows = kept.cpu().numpy()
            spent = time.perf_counter() - started
            about.setdefault("first_s", spent)
            about["image_s"] = min(spent / len(rows), about.get("image_s", math.inf))
            yield rows
