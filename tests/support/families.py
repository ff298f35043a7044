"""Small instances of the architecture families, random weights, no download."""

import copy
from functools import cache

import torch
from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from timm.models.densenet import DenseNet
from timm.models.swin_transformer import SwinTransformer
from timm.models.vgg import VGG

from regraft.backbone import Backbone

# What timm has no small instance of.
default_cfgs = generate_default_cfgs(
    {
        "tiny_vgg": {"input_size": (3, 32, 32), "classifier": "head.fc", "num_classes": 10},
        "tiny_densenet": {"input_size": (3, 64, 64), "classifier": "classifier"},
        "tiny_swin": {"input_size": (3, 64, 64), "classifier": "head.fc", "fixed_input_size": True},
    }
)


@register_model
def tiny_vgg(pretrained: bool = False, **options: object) -> VGG:
    """VGG as timm builds it, narrow: the real ones have over 100 million parameters."""
    shape = {"cfg": [8, "M", 16, "M", 32, 32, "M"], "mlp_ratio": 1 / 64}
    return build_model_with_cfg(VGG, "tiny_vgg", pretrained, **shape, **options)


@register_model
def tiny_densenet(pretrained: bool = False, **options: object) -> DenseNet:
    """DenseNet with two layers in each block."""
    shape = {"growth_rate": 8, "block_config": (2, 2, 2)}
    return build_model_with_cfg(DenseNet, "tiny_densenet", pretrained, **shape, **options)


@register_model
def tiny_swin(pretrained: bool = False, **options: object) -> SwinTransformer:
    """Swin with two stages; the second block of each shifts its windows."""
    shape = {"embed_dim": 16, "depths": (2, 2), "num_heads": (1, 2), "window_size": 4}
    return build_model_with_cfg(SwinTransformer, "tiny_swin", pretrained, **shape, **options)


FAMILIES = {
    "resnet": ("test_resnet", 64),
    "vgg": ("tiny_vgg", 32),
    "inception": ("inception_v3", 75),
    "densenet": ("tiny_densenet", 64),
    "efficientnet": ("test_efficientnet", 64),
    "mobilenet": ("mobilenetv3_small_050", 64),
    "convnext": ("test_convnext", 64),
    "vit": ("test_vit", 64),
    "swin": ("tiny_swin", 64),
}


def backbone(family: str, seed: int = 0) -> Backbone:
    """A copy of the family's small instance: half a second goes into the weights of some."""
    made = copy.deepcopy(_built(family, seed))
    torch.manual_seed(seed)  # whatever was built before
    return made


@cache
def _built(family: str, seed: int) -> Backbone:
    torch.manual_seed(seed)
    name, size = FAMILIES[family]
    return Backbone(name=name, size=size)


def words(family: str) -> tuple[str, ...]:
    """What a job is told to take the small instance of a family with random weights."""
    name, size = FAMILIES[family]
    chosen = ("backbone=timm", f"backbone.name={name}", f"backbone.size={size}")
    return (*chosen, "backbone.weights=random")


def cut(family: str, features: str) -> tuple[str, ...]:
    """A job that keeps the first stages and trains the others, with or without the cache.

    Nothing else is random in it, and nothing is rounded.
    """
    above = ("freeze=first", "freeze.stages=2", "optimizer=sgd", "head.dropout=0")
    return (*words(family), *above, f"features={features}", "features.dtype=float32")
