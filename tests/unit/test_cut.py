import copy
import pickle

import cutting
import families
import pytest
import torch
from families import FAMILIES
from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from timm.models.vgg import VGG
from torch import nn
from torch.nn import functional as F

from regraft.backbone import Backbone
from regraft.cut import cut


def make(name, size=64):
    torch.manual_seed(0)
    return Backbone(name=name, size=size).eval()


def images(backbone, count=2):
    return torch.randn(count, 3, *backbone.input.size)


@pytest.fixture(params=FAMILIES)
def backbone(request):
    return families.backbone(request.param).eval()


@pytest.mark.parametrize("family", FAMILIES)
def test_both_parts_together_are_the_backbone_at_every_stage(family):
    cutting.both_parts_are_the_backbone(family, cutting.some_stages(family))


@pytest.mark.parametrize("family", FAMILIES)
def test_training_on_stored_activations_is_training_the_whole(family, monkeypatch):
    cutting.training_on_what_is_stored_is_training_the_whole(
        family, cutting.some_stages(family)[:-1], monkeypatch
    )


@torch.no_grad()
def test_one_cut_is_for_all_batch_sizes(backbone):
    found = cut(backbone, len(backbone.stages) // 2, "pooled")
    for count in (1, 5):
        batch = images(backbone, count)
        parts = found.suffix(found.prefix(batch))
        torch.testing.assert_close(parts, backbone(batch), rtol=1e-5, atol=1e-5)


def test_each_part_uses_the_parameters_of_its_own_stages(backbone):
    batch = images(backbone)
    k = len(backbone.stages) // 2
    found = cut(backbone, k, "pooled")
    activations = found.prefix(batch)
    below = cutting.names_with_gradient(backbone, activations)
    above = cutting.names_with_gradient(backbone, found.suffix(activations.detach()))
    used = cutting.names_with_gradient(backbone, backbone(batch))
    kept = {name for stage in backbone.stages[:k] for name in stage.tensors}

    assert below == used & kept
    assert above == used - kept


@torch.no_grad()
def test_the_prefix_of_a_backbone_in_training_is_in_evaluation(backbone):
    k = len(backbone.stages) - 1
    found = cut(backbone, k, "pooled")
    batch = images(backbone)
    evaluated = found.prefix(batch)
    backbone.freeze(range(k))
    before = copy.deepcopy(backbone.train().net.state_dict())

    assert torch.equal(found.prefix(batch), evaluated)
    assert torch.equal(cut(backbone, k, "pooled").prefix(batch), evaluated)
    torch.testing.assert_close(backbone.net.state_dict(), before, rtol=0, atol=0)


@torch.no_grad()
def test_cutting_leaves_no_trace(backbone):
    backbone.freeze([0])
    backbone.train()
    modes, fresh = [module.training for module in backbone.modules()], {*vars(backbone.net)}
    before = copy.deepcopy(backbone.state_dict())
    random = torch.get_rng_state()
    cut(backbone, 2, "pooled")

    assert modes == [module.training for module in backbone.modules()]
    assert torch.equal(random, torch.get_rng_state())
    assert backbone.images_forwarded == 0
    torch.testing.assert_close(backbone.state_dict(), before, rtol=0, atol=0)
    assert vars(backbone.net).keys() == fresh


@torch.no_grad()
def test_both_parts_follow_the_backbone(backbone):
    found = cut(backbone, 2, "pooled")
    batch = images(backbone).double()
    backbone.double()  # replaces the buffers
    for parameter in backbone.parameters():
        parameter.mul_(1.1)
    torch.testing.assert_close(found.suffix(found.prefix(batch)), backbone(batch))


@torch.no_grad()
def test_a_backbone_is_copied_and_pickled_after_a_cut():
    backbone = make("test_resnet")
    found = cut(backbone, 2, "pooled")
    batch = images(backbone)
    whole = backbone(batch)
    pickled = pickle.loads(pickle.dumps(backbone))
    copied, its_cut = copy.deepcopy((backbone, found))
    for parameter in backbone.parameters():
        parameter.zero_()

    assert torch.equal(pickled(batch), whole)
    assert torch.equal(copied(batch), whole)
    assert torch.equal(its_cut.suffix(its_cut.prefix(batch)), whole)


@torch.no_grad()
def test_a_backbone_is_cut_after_stages_are_dropped(backbone):
    kept = len(backbone.stages) - 1
    backbone.graft(dropped=[kept])
    batch = images(backbone)
    for k in (1, kept - 1, kept):
        found = cut(backbone, k, "pooled")
        parts = found.suffix(found.prefix(batch))

        assert (found.stages, found.note) == (k, None)
        torch.testing.assert_close(parts, backbone(batch), rtol=1e-5, atol=1e-5)
    assert found.shape == (backbone.out_features,)


def test_only_the_prefix_counts_images():
    backbone = make("test_resnet")
    found = cut(backbone, 2, "pooled")
    found.suffix(found.prefix(images(backbone, 3)))
    assert backbone.images_forwarded == 3


def test_stored_maps_become_channels_last_again():
    backbone = make("test_resnet")
    found = cut(backbone, 2, "map")
    seen = []
    backbone.net.layer2.register_forward_pre_hook(lambda module, inputs: seen.append(*inputs))
    activations = found.prefix(images(backbone))
    found.suffix(activations.contiguous())

    assert activations.is_contiguous(memory_format=torch.channels_last)
    assert seen[0].is_contiguous(memory_format=torch.channels_last)


def test_no_stages_are_a_cut_at_the_images():
    backbone = make("test_resnet")
    batch = images(backbone)
    found = cut(backbone, 0, "pooled")

    assert (found.stages, found.shape, found.note) == (0, (3, 64, 64), None)
    assert found.prefix(batch) is batch
    assert torch.equal(found.suffix(batch), backbone(batch))


@torch.no_grad()
def test_where_several_tensors_cross_the_cut_moves_down():
    backbone = make("hrnet_w18_small")
    batch = images(backbone)
    found = cut(backbone, 3, "pooled")

    assert found.stages == 1
    assert found.note == "what stage2 hands on is not a single tensor that torch.fx can follow"
    torch.testing.assert_close(found.suffix(found.prefix(batch)), backbone(batch))


@torch.no_grad()
@pytest.mark.parametrize("name", ["vit_small_patch16_dinov3", "xcit_nano_12_p8_224"])
def test_sizes_of_the_input_may_decide_what_the_network_does(name):
    backbone = make(name)
    batch = images(backbone, 3)
    found = cut(backbone, 3, "pooled")

    assert found.stages == 3
    torch.testing.assert_close(found.suffix(found.prefix(batch)), backbone(batch))


def test_a_position_embedding_that_learns_with_a_later_stage_is_not_cut_off():
    backbone = make("vit_small_patch16_rope_mixed_224")
    last = len(backbone.stages) - 1

    assert "rope.freqs" in backbone.stages[last].tensors  # and every block reads it
    assert cut(backbone, 3, "pooled").stages == 1


class Undecided(VGG):
    def forward_features(self, x):
        x = super().forward_features(x)
        return x if x.sum() > 0 else -x


class Forgetful(VGG):
    def forward_features(self, x):
        return F.dropout(super().forward_features(x), 0.5, self.training)


class Secretive(VGG):
    def forward_features(self, x):
        x = self.features(x)
        return x + torch.ones(x.shape[1:])


class Sly(VGG):
    def forward_features(self, x):
        x = self.features(x)
        x.mul_(2)
        return x


class Scaled(VGG):
    """Its scale, of a stage after the others by timm's grouping, acts before them or after."""

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self.scale = nn.Parameter(torch.tensor([2.0]))
        self.register_buffer("shift", torch.tensor([1.0]))


class ScaledFirst(Scaled):
    def forward_features(self, x):
        return super().forward_features(x * self.scale)


class ScaledLast(Scaled):
    def forward_features(self, x):
        return super().forward_features(x) * self.scale + self.shift.view(1, 1, 1, 1)


NOT_SINGLE = "is not a single tensor that torch.fx can follow"
ODD = {
    "undecided_vgg": (Undecided, "control flow"),
    "forgetful_vgg": (Forgetful, "depends on its mode"),
    "secretive_vgg": (Secretive, "makes a tensor"),
    "sly_vgg": (Sly, NOT_SINGLE),
    "scaled_first_vgg": (ScaledFirst, NOT_SINGLE),
}
MODELS = {**{name: model for name, (model, _) in ODD.items()}, "scaled_last_vgg": ScaledLast}


def register(name, model):
    def build(pretrained=False, **options):
        shape = {"cfg": [8, "M", 16, "M"], "mlp_ratio": 1 / 64}
        return build_model_with_cfg(model, name, pretrained, **shape, **options)

    build.__name__, build.__module__ = name, __name__
    globals()[name] = build
    register_model(build)


default_cfgs = generate_default_cfgs({name: {"input_size": (3, 32, 32)} for name in MODELS})
for name, model in MODELS.items():
    register(name, model)


@pytest.mark.parametrize("name", ODD)
@torch.no_grad()
def test_a_network_that_cannot_be_cut_between_is_cut_at_its_ends(name):
    backbone = make(name, 32)
    batch = images(backbone)
    depth = len(backbone.stages)
    found = cut(backbone, 1, "pooled")

    assert (found.stages, found.shape) == (0, (3, 32, 32))
    assert ODD[name][1] in found.note
    assert torch.equal(found.suffix(found.prefix(batch)), backbone(batch))
    whole = cut(backbone, depth, "pooled")
    assert (whole.stages, whole.note) == (depth, None)
    assert torch.equal(whole.suffix(whole.prefix(batch)), backbone(batch))


@torch.no_grad()
def test_parameters_and_buffers_of_no_module_are_read_at_each_call():
    backbone = make("scaled_last_vgg", 32)
    batch = images(backbone)
    found = cut(backbone, 1, "pooled")
    before = found.suffix(found.prefix(batch))
    backbone.net.scale.mul_(3)
    backbone.net.shift.mul_(5)
    after = found.suffix(found.prefix(batch))

    assert found.stages == 1
    assert not torch.allclose(after, before)
    torch.testing.assert_close(after, backbone(batch))


@torch.no_grad()
def test_a_suffix_that_begins_in_place_leaves_what_is_stored():
    backbone = make("test_resnet")
    backbone.net.layer2.register_forward_pre_hook(lambda module, inputs: inputs[0].mul_(2))
    batch = images(backbone)
    found = cut(backbone, 2, "pooled")
    stored = found.prefix(batch)
    before = stored.clone()

    torch.testing.assert_close(found.suffix(stored), backbone(batch))
    assert torch.equal(stored, before)
