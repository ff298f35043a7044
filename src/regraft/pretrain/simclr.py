"""SimCLR (Chen et al. 2020): two views of an image are to be alike, and unlike all other images."""

import time
from dataclasses import dataclass
from typing import Annotated, Any

import torch
from annotated_types import Ge, Gt, Le
from torch import Tensor
from torchvision.transforms.v2 import functional

from regraft.backbone import Backbone
from regraft.errors import RegraftError
from regraft.plan import Fraction
from regraft.pretrain.method import Learned, Task, WithoutLabels


@dataclass(frozen=True, kw_only=True)
class SimCLR(WithoutLabels):
    """The losses, transforms and projection of `lightly`; which changes leave an image what it is,
    is what one has to say."""

    temperature: Annotated[float, Gt(0)]
    projection: Annotated[int, Ge(2)]
    min_scale: Annotated[float, Gt(0), Le(1)]
    flip: Fraction
    rotate: Annotated[float, Ge(0), Le(180)]
    colour: Annotated[float, Ge(0)]
    blur: Fraction

    @property
    def libraries(self) -> tuple[str, ...]:
        return (*super().libraries, "lightly")

    def refuse(self, backbone: Backbone) -> None:
        super().refuse(backbone)
        _lightly()

    def learn(self, task: Task) -> list[Learned]:
        backbone, started = task.backbone.to(task.device), time.perf_counter()
        make_loss, make_head, make_views = _lightly()
        nt_xent = make_loss(temperature=self.temperature)
        width = backbone.out_features
        head = make_head(width, width, self.projection).to(task.device)
        views = make_views(
            input_size=backbone.input.size[0],
            min_scale=self.min_scale,
            hf_prob=self.flip,
            rr_prob=float(self.rotate > 0),
            rr_degrees=self.rotate,
            cj_strength=self.colour,
            random_gray_scale=0.2 * (self.colour > 0),
            gaussian_blur=self.blur,
            normalize=None,  # by the backbone's own numbers, below
        )

        def loss_of(x: Tensor, _: Tensor) -> Tensor:
            pairs = [views(functional.to_pil_image(image)) for image in x.cpu()]
            both = torch.stack([view for side in zip(*pairs, strict=True) for view in side])
            pixels = both.mul(255).to(task.device)
            first, second = head(backbone(backbone.input.normalize(pixels))).chunk(2)
            found: Tensor = nt_xent(first, second)
            return found

        return self.minimise_whole(loss_of, head, task, started)


def _lightly() -> tuple[Any, Any, Any]:
    """The library's loss, projection and transform; RegraftError without it."""
    try:
        from lightly.loss import NTXentLoss
        from lightly.models.modules.heads import SimCLRProjectionHead
        from lightly.transforms import SimCLRTransform
    except ImportError as error:
        raise RegraftError(
            "pretrain=simclr needs lightly: pip install 'regraft[ssl]'; pretrain=layerwise does not"
        ) from error
    return NTXentLoss, SimCLRProjectionHead, SimCLRTransform
