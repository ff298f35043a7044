"""What holds for a network that is cut after any of its stages."""

import copy

import families
import timm
import torch

from regraft.backbone import Backbone
from regraft.cut import cut

# What is random in training, in the networks that have such a thing.
RANDOM = {
    "resnet": {"drop_path_rate": 0.5},
    "vgg": {"drop_rate": 0.5},
    "densenet": {"proj_drop_rate": 0.5},
    "mobilenet": {"drop_path_rate": 0.5},
    "convnext": {"drop_path_rate": 0.5},
    "vit": {"drop_path_rate": 0.5, "proj_drop_rate": 0.5},
    "swin": {"drop_path_rate": 0.5, "proj_drop_rate": 0.5},
}

DEEP = ("inception", "mobilenet")


def every_stage(family):
    return list(range(1, len(families.backbone(family).stages) + 1))


def some_stages(family):
    """All; of a network of many, the first, the middle one and the last."""
    stages = every_stage(family)
    return [1, len(stages) // 2, stages[-1]] if family in DEEP else stages


@torch.no_grad()
def both_parts_are_the_backbone(family, stages):
    backbone = families.backbone(family).eval()
    batch = torch.randn(2, 3, *backbone.input.size)
    for takes in ("pooled", "map"):
        whole = backbone(batch, takes)
        for k in stages:
            found = cut(backbone, k, takes)
            activations = found.prefix(batch)
            stored = activations.clone(memory_format=torch.contiguous_format)
            parts = found.suffix(stored)

            assert (found.stages, found.note) == (k, None)
            assert activations.shape == (2, *found.shape)
            torch.testing.assert_close(parts, whole, rtol=1e-5, atol=1e-5)
            assert torch.equal(stored, activations)  # the suffix did not work on it in place


def training_on_what_is_stored_is_training_the_whole(family, stages, patch):
    create, rates = timm.create_model, RANDOM.get(family, {})
    with patch.context() as with_rates:
        with_rates.setattr(timm, "create_model", lambda name, **rest: create(name, **rest, **rates))
        name, size = families.FAMILIES[family]
        torch.manual_seed(0)
        backbone = Backbone(name=name, size=size).eval()
    for parameter in backbone.parameters():  # branches that start at zero can be dropped unseen
        parameter.data.add_(0.1 * torch.randn_like(parameter))
    batch = torch.randn(4, 3, *backbone.input.size)
    for k in stages:
        backbone.freeze(range(k))
        backbone.train()
        found = cut(backbone, k, "pooled")
        stored = found.prefix(batch)
        before = copy.deepcopy(backbone.net.state_dict())
        whole = _after_backward(backbone, lambda: backbone(batch))
        backbone.net.load_state_dict(before)
        parts = _after_backward(backbone, lambda: found.suffix(stored))  # noqa: B023

        torch.testing.assert_close(parts, whole, rtol=1e-5, atol=1e-5)
        if k == 1 and rates:
            assert not torch.equal(found.suffix(stored), found.suffix(stored))
        backbone.eval()
        assert torch.equal(found.suffix(stored), found.suffix(stored))


def _after_backward(backbone, forward):
    torch.manual_seed(1)
    names_with_gradient(backbone, forward())
    gradients = {n: p.grad for n, p in backbone.net.named_parameters() if p.grad is not None}
    return gradients, copy.deepcopy(dict(backbone.net.named_buffers()))


def names_with_gradient(backbone, output):
    """Of the parameters that the output depends on."""
    backbone.zero_grad()
    output.square().mean().backward()
    return {n for n, p in backbone.net.named_parameters() if p.grad is not None}
