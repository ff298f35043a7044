"""A trained network with all that is needed to use it, and how it is put together again."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from torch import Tensor, nn

from regraft import trust
from regraft.backbone import Backbone
from regraft.calibration import Calibration
from regraft.config import build
from regraft.data.transforms import InputConfig
from regraft.errors import RegraftError
from regraft.head import Head, as_head
from regraft.paths import shown
from regraft.plan import Plan, drop_unread

PARTS = ("backbone", "freeze", "head")  # of a job's config: what the network is made of


class Network(nn.Module):
    """A trunk and its head: normalised images float32 (B, 3, H, W) to logits (B, num_classes).

    Its tensors have the names that they have in a checkpoint.
    """

    def __init__(self, backbone: Backbone, head: Head) -> None:
        super().__init__()
        self.backbone, self.head = backbone, head

    def forward(self, images: Tensor) -> Tensor:
        # Not by the backbone's own forward, which counts images: nothing that can be exported.
        features = self.backbone.net.forward_features(images)
        return self.head(self.backbone.read(features, self.head.takes))


@dataclass(frozen=True)
class Trained:
    """A network in evaluation mode, what it wants to see and what it knows."""

    network: nn.Module  # normalised images float32 (B, 3, H, W) to logits (B, num_classes)
    input: InputConfig
    classes: tuple[str, ...]
    calibration: Calibration
    source: Path  # the file that it was read from
    card: dict[str, Any] = field(repr=False)  # of the checkpoint, or of the exported folder


def assemble(config: Mapping[str, Any], classes: Sequence[str]) -> Network:
    """The network that a run's config names, with the stages that its plan leaves and random
    weights, in evaluation mode.

    Raises RegraftError for parts that are not trusted: a file says what is built here.
    """
    parts = {key: config[key] for key in PARTS}
    trust.check(parts)
    cfg = OmegaConf.create(parts)
    backbone: Backbone = build(cfg.backbone)
    plan: Plan = build(cfg.freeze, len(backbone.stages), 1)
    backbone.graft(dropped=plan.indices("drop"))
    head = as_head(build(cfg.head, backbone.out_features, backbone.map_shape, len(classes)))
    drop_unread(plan, backbone, head.takes)
    return Network(backbone, head).requires_grad_(False).eval()


def fill(network: Network, state: Mapping[str, Tensor], source: Path) -> None:
    """Give a network its tensors; RegraftError if they are those of another one."""
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        first = str(error).splitlines()[-1].strip()
        raise RegraftError(
            f"{shown(source)}: does not fit the network it names: {first}"
        ) from error
