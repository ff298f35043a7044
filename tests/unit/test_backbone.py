import copy

import families
import pytest
import timm
import torch
from timm.data import resolve_model_data_config
from torch import nn

from regraft.backbone import Backbone
from regraft.cut import cut
from regraft.errors import RegraftError
from regraft.head import conv_mlp


@pytest.fixture(params=families.FAMILIES)
def backbone(request):
    return families.backbone(request.param)


def images(backbone, count=2):
    return torch.randn(count, 3, *backbone.input.size)


def test_every_tensor_belongs_to_exactly_one_stage(backbone):
    named = [name for stage in backbone.stages for name in stage.tensors]
    tensors = [*backbone.net.named_parameters(), *backbone.net.named_buffers()]

    assert sorted(named) == sorted(name for name, _ in tensors)
    parameters = sum(p.numel() for p in backbone.net.parameters())
    assert sum(stage.parameters for stage in backbone.stages) == parameters
    assert len(backbone.stages) >= 3
    assert backbone.stages[0].name == "stem"


def test_no_stage_is_a_lone_norm(backbone):
    parameters = dict(backbone.net.named_parameters())
    for stage in backbone.stages:
        assert any(parameters[name].ndim > 1 for name in stage.tensors if name in parameters)


def test_outputs_have_the_widths_that_are_promised(backbone):
    backbone.eval()
    assert backbone(images(backbone)).shape == (2, backbone.out_features)
    if backbone.map_shape is not None:
        assert backbone(images(backbone), "map").shape == (2, *backbone.map_shape)


def test_a_frozen_stage_keeps_parameters_and_buffers_to_the_byte(backbone):
    kept = range(len(backbone.stages) - 1)
    backbone.freeze(kept)
    backbone.train()
    names = [name for index in kept for name in backbone.stages[index].tensors]
    before = {**backbone.net.state_dict()}
    before = {name: before[name].clone() for name in names if name in before}
    optimizer = torch.optim.SGD(backbone.parameters(), lr=0.1, weight_decay=0.1)
    for _ in range(2):
        optimizer.zero_grad()
        backbone(images(backbone, 4)).square().mean().backward()
        optimizer.step()

    after = backbone.net.state_dict()
    assert before
    for name, tensor in before.items():
        assert torch.equal(tensor, after[name]), name
    last = backbone.stage_parameters(len(backbone.stages) - 1)
    assert all(p.grad is not None for p in last.values())


def test_features_of_a_frozen_trunk_are_the_same_in_training_and_evaluation_mode(backbone):
    backbone.freeze(range(len(backbone.stages)))
    batch = images(backbone)
    trained = backbone.train()(batch)
    evaluated = backbone.eval()(batch)

    assert torch.equal(trained, evaluated)
    assert not trained.requires_grad


# timm drops out a fifth of the features in their `forward_head`, in the mode of the whole network.
DROPPING = ["ghostnet_050", "repghostnet_050", "legacy_seresnet18"]


@pytest.mark.parametrize("name", DROPPING)
def test_a_kept_trunk_is_a_function_of_the_image(name):
    backbone = Backbone(name=name, size=64)
    batch = images(backbone, 4)
    backbone.freeze(range(len(backbone.stages)))
    backbone.train()
    kept = backbone(batch)

    assert torch.equal(kept, backbone(batch))
    assert torch.equal(kept, backbone.eval()(batch))
    backbone.freeze(range(len(backbone.stages) - 1))
    backbone.train()
    assert not torch.equal(backbone(batch), backbone(batch))  # what is trained drops out


def test_a_trunk_whose_trained_stages_are_dropped_is_a_function_of_the_image():
    backbone = Backbone(name="legacy_seresnet18", size=64)
    last = len(backbone.stages) - 1
    backbone.graft(dropped=[last])
    backbone.freeze(range(last))
    backbone.train()
    batch = images(backbone, 4)

    assert torch.equal(backbone(batch), backbone(batch))


def test_a_position_embedding_that_kept_blocks_read_is_kept_with_them():
    backbone = Backbone(name="vit_small_patch16_dinov3", size=64)
    last = len(backbone.stages) - 1
    assert "rope.periods" in backbone.stages[last].tensors  # by timm's grouping
    backbone.net.rope.rescale_coords, backbone.net.rope.aug_active = 2.0, True  # in training
    backbone.freeze(range(last))
    backbone.train()
    seen = []
    backbone.net.blocks[0].register_forward_hook(lambda *call: seen.append(call[-1]))
    batch = images(backbone)
    backbone(batch)
    backbone(batch)

    assert torch.equal(*seen)
    backbone.net.rope.train()
    backbone(batch)
    assert not torch.equal(seen[0], seen[2])


SEVERAL = {"crossvit_tiny_240": 0, "coat_tiny": 0, "efficientvim_m1": 1}  # stages that can be cut


def known(names):
    """Those that timm has: the lowest allowed one lacks some."""
    return [name for name in names if timm.is_model(name)]


@pytest.mark.parametrize("name", known(SEVERAL))
def test_a_network_that_ends_in_several_tensors_has_a_plan_and_no_map(name):
    torch.manual_seed(0)
    backbone = Backbone(name=name)
    batch = images(backbone, 1)
    depth = len(backbone.stages)
    assert backbone.map_shape is None
    assert backbone(batch).shape == (1, backbone.out_features)
    with pytest.raises(RegraftError, match="head=conv_mlp needs one feature map"):
        conv_mlp(backbone.out_features, backbone.map_shape, 3, width=8, hidden=8)

    found = cut(backbone, depth - 1, "pooled")
    assert found.stages == SEVERAL[name]
    backbone.eval()
    torch.testing.assert_close(found.suffix(found.prefix(batch)), backbone(batch))


@pytest.mark.parametrize("name", known(["coat_tiny", "efficientvim_m1"]))
def test_a_network_that_cannot_do_without_its_last_stages_is_one_line(name):
    backbone = Backbone(name=name)
    with pytest.raises(RegraftError, match=f"^freeze: {name} cannot do without its last stages"):
        backbone.graft(dropped=[len(backbone.stages) - 1])


def test_the_norms_in_a_list_are_dropped_with_their_stage():
    backbone = Backbone(name="crossvit_tiny_240")
    backbone.graft(dropped=[len(backbone.stages) - 1])
    assert backbone(images(backbone, 1)).shape == (1, backbone.out_features)


@pytest.mark.parametrize("name", ["repvgg_a0", "mobileone_s0", "fastvit_t8"])
def test_what_would_corrupt_memory_with_channels_last_stays_contiguous(name):
    backbone = Backbone(name=name, size=64)
    strided = [
        module
        for module in backbone.net.modules()
        if isinstance(module, nn.Conv2d)
        and module.kernel_size == (1, 1)
        and module.stride == (2, 2)
        and module.in_channels == 3
    ]
    seen = []
    for module in strided:
        module.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    batch = images(backbone).contiguous(memory_format=torch.channels_last)
    expected = backbone.eval()(batch)
    found = cut(backbone, len(backbone.stages) - 1, "pooled")
    torch.testing.assert_close(found.suffix(found.prefix(batch)), expected)

    assert strided and len(seen) >= 2 * len(strided)
    assert all(given.is_contiguous() for given in seen)
    assert not any(
        weight.is_contiguous(memory_format=torch.channels_last)
        for weight in (
            module.weight for module in backbone.net.modules() if type(module) is nn.Conv2d
        )
        if weight.shape[1] > 1 and weight.shape[2] > 1
    )


def test_all_others_have_their_channels_last(backbone):
    seen = []
    convolutions = [m for m in backbone.net.modules() if isinstance(m, nn.Conv2d)]
    convolutions[0].register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    backbone(images(backbone))
    assert seen[0].is_contiguous(memory_format=torch.channels_last)


def test_a_network_may_have_a_convolution_over_three_dimensions():
    with torch.device("meta"):
        backbone = Backbone(name="lambda_resnet26t")
    assert any(isinstance(module, nn.Conv3d) for module in backbone.net.modules())
    assert len(backbone.stages) > 2


def test_a_frozen_vit_has_no_stochastic_depth():
    torch.manual_seed(0)
    backbone = Backbone(name="test_vit", size=64)
    for block in backbone.net.blocks:
        block.drop_path1.drop_prob = block.drop_path2.drop_prob = 0.5
    backbone.freeze(range(len(backbone.stages)))
    backbone.train()
    batch = images(backbone, 8)

    assert torch.equal(backbone(batch), backbone(batch))


def test_freezing_again_replaces_what_was_frozen_before(backbone):
    backbone.freeze(range(len(backbone.stages)))
    backbone.freeze([0])

    assert not any(p.requires_grad for p in backbone.stage_parameters(0).values())
    assert all(p.requires_grad for p in backbone.stage_parameters(1).values())


def test_fixed_norm_keeps_the_statistics_of_trained_stages():
    backbone = Backbone(name="test_resnet", size=64)
    backbone.freeze([], fixed_norm=True)
    backbone.train()
    before = backbone.net.bn1.running_mean.clone()
    backbone(images(backbone) + 3)
    assert torch.equal(before, backbone.net.bn1.running_mean)

    backbone.freeze([], fixed_norm=False)
    backbone(images(backbone) + 3)
    assert not torch.equal(before, backbone.net.bn1.running_mean)


def test_dropping_the_last_stages_leaves_a_smaller_network_that_runs(backbone):
    whole = sum(p.numel() for p in backbone.parameters())
    cut = len(backbone.stages) // 2
    first = {name: p.clone() for name, p in backbone.stage_parameters(0).items()}
    backbone.graft(dropped=range(cut, len(backbone.stages)))

    assert backbone(images(backbone)).shape == (2, backbone.out_features)
    assert sum(p.numel() for p in backbone.parameters()) < whole
    assert all(not backbone.stage_parameters(i) for i in range(cut, len(backbone.stages)))
    for name, parameter in backbone.stage_parameters(0).items():
        assert torch.equal(parameter, first[name])
    if backbone.map_shape is not None:
        head = conv_mlp(backbone.out_features, backbone.map_shape, 3, width=8, hidden=8)
        assert head(backbone(images(backbone), "map")).shape == (2, 3)


def test_what_is_left_after_dropping_learns(backbone):
    takes = ("pooled", "map") if backbone.map_shape else ("pooled",)
    depth = len(backbone.stages)
    for count in (1, depth // 2, depth - 1) if depth > 7 else range(1, depth):
        left = copy.deepcopy(backbone)
        left.graft(dropped=range(count, len(left.stages)))
        left.train()
        for output in takes:
            left(images(left, 4), output).square().mean().backward()
        for index in range(count):
            assert any(p.grad is not None for p in left.stage_parameters(index).values())


def test_a_dropped_convolution_takes_its_activation_and_pooling_along():
    backbone = Backbone(name="tiny_vgg", size=32).eval()
    batch = images(backbone)
    expected = backbone.net.features[:6](batch)  # two times convolution, activation, pooling
    backbone.graft(dropped=[2, 3, 4])

    torch.testing.assert_close(backbone(batch, "map"), expected)


def test_dropping_gives_what_the_kept_stages_gave_before():
    backbone = Backbone(name="test_resnet", size=64).eval()
    batch = images(backbone)
    seen = []
    backbone.net.layer2.register_forward_hook(lambda *call: seen.append(call[-1]))
    backbone(batch)
    backbone.graft(dropped=[3, 4])

    torch.testing.assert_close(backbone(batch, "map"), seen[0])


def test_an_unknown_model_is_one_line_with_a_suggestion():
    with pytest.raises(RegraftError, match=r"resnet_50.*did you mean 'resnet50"):
        Backbone(name="resnet_50")


@pytest.mark.parametrize(
    ("name", "match"),
    [
        ("resnet18.a1_in1", "resnet18 has no such tag; did you mean 'a1_in1k'?.*there are a1_in1k"),
        ("resnet18.nosuchtag", "resnet18.nosuchtag: resnet18 has no such tag .there are a1_in1k"),
    ],
)
def test_an_unknown_tag_is_one_line(name, match):
    with pytest.raises(RegraftError, match=match):
        Backbone(name=name)


@pytest.mark.parametrize(
    ("old", "now"),
    [
        ("vit_base_patch16_224_in21k", "vit_base_patch16_224.augreg_in21k"),
        ("tf_efficientnet_b0_ns", "tf_efficientnet_b0.ns_jft_in1k"),
    ],
)
def test_a_name_that_timm_has_replaced_is_one_line(old, now):
    """Of an old name timm knows no size: a ViT was built for images of 224 pixels, and refused."""
    with pytest.raises(
        RegraftError, match=f"^backbone.name={old}: timm has renamed it: give {now}$"
    ):
        Backbone(name=old, size=32)


def test_weights_that_name_an_input_that_cannot_be_are_one_line(monkeypatch):
    def resolved(net):
        return resolve_model_data_config(net) | {"std": (0.0,) * 3}

    monkeypatch.setattr("regraft.architecture.resolve_model_data_config", resolved)
    with pytest.raises(RegraftError, match=r"^backbone: input: std .*; choose another backbone$"):
        Backbone(name="test_resnet")


@pytest.mark.parametrize("name", ["caformer_s18", "rdnet_tiny"])
def test_a_model_that_timm_does_not_group_is_refused(name):
    with pytest.raises(RegraftError, match="does not group"):
        Backbone(name=name, size=64)


def test_the_input_is_that_of_the_weights():
    backbone = Backbone(name="inception_v3.tf_adv_in1k")

    assert backbone.input.size == (299, 299)
    assert backbone.input.mean == (0.5, 0.5, 0.5)
    assert backbone.input.interpolation == "bicubic"


def test_a_size_that_is_too_small_for_the_network_is_one_line():
    message = (
        "backbone.size=16: inception_v3 cannot take images of 16×16 pixels; these work: 96, 299"
    )
    with pytest.raises(RegraftError, match=message):
        Backbone(name="inception_v3", size=16)


@pytest.mark.parametrize(
    ("name", "sizes"),
    [("levit_128s", "64, 96, 112, 128, 224"), ("gcvit_xxtiny", "64, 96, 128, 224")],
)
def test_a_size_that_does_not_divide_is_one_line_with_those_that_do(name, sizes):
    message = (
        f"^backbone.size=100: {name} cannot take images of 100×100 pixels; these work: {sizes}"
    )
    with pytest.raises(RegraftError, match=message):
        Backbone(name=name, size=100)


def test_an_encoder_of_a_language_model_is_one_line():
    with torch.device("meta"), pytest.raises(RegraftError, match="Gemma4VitEncoder does not supp"):
        Backbone(name="gemma4_vit_167m_enc")


def test_the_hubs_name_of_a_model_leads_to_timms():
    with pytest.raises(RegraftError, match="give timm's own name, resnet18.a1_in1k"):
        Backbone(name="hf-hub:timm/resnet18.a1_in1k")
