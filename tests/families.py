"""Small instances of the architecture families, random weights, no download."""

from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from timm.models.vgg import VGG

default_cfgs = generate_default_cfgs(
    {"tiny_vgg": {"input_size": (3, 32, 32), "classifier": "head.fc", "num_classes": 10}}
)


@register_model
def tiny_vgg(pretrained: bool = False, **options: object) -> VGG:
    """VGG as timm builds it, narrow: the real ones have over 100 million parameters."""
    layers = [8, "M", 16, "M", 32, 32, "M"]
    return build_model_with_cfg(VGG, "tiny_vgg", pretrained, cfg=layers, **options)


FAMILIES = {
    "resnet": ("test_resnet", 64),
    "vgg": ("tiny_vgg", 32),
    "inception": ("inception_v3", 96),
    "efficientnet": ("test_efficientnet", 64),
    "convnext": ("test_convnext", 64),
    "vit": ("test_vit", 64),
}
