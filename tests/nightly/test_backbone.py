"""Networks of many stages with any number of the last ones dropped; the others in unit."""

import copy

import families
import pytest
import torch


@pytest.mark.parametrize("family", ["inception", "mobilenet"])
def test_what_is_left_after_dropping_learns(family):
    backbone = families.backbone(family)
    for cut in range(1, len(backbone.stages)):
        left = copy.deepcopy(backbone)
        left.graft(dropped=range(cut, len(left.stages)))
        left.train()
        for output in ("pooled", "map"):
            images = torch.randn(4, 3, *left.input.size)
            left(images, output).square().mean().backward()
        for index in range(cut):
            assert any(p.grad is not None for p in left.stage_parameters(index).values())
