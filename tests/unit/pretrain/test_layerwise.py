import pytest
import torch
from blobs import LAYERWISE, a_row_of_stages_each_with_a_decoder, changed, task
from families import FAMILIES
from timm.models.resnet import ResNet

from regraft.backbone import Backbone
from regraft.cut import slices
from regraft.errors import RegraftError
from regraft.pretrain.layerwise import Decoder, Layerwise, Layout, corrupted


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("REGRAFT_CACHE", str(tmp_path / "cache"))


def bytes_of(backbone, stages):
    state = backbone.net.state_dict()
    names = [name for i in stages for name in backbone.stages[i].tensors if name in state]
    return {name: state[name].numpy().tobytes() for name in names}


class Watched(Layerwise):
    """Notes what is trained, and what else has moved meanwhile."""

    def train(self, part, below, task):
        others = [i for i in range(len(task.backbone.stages)) if i not in part.stages]
        before, own = bytes_of(task.backbone, others), bytes_of(task.backbone, part.stages)
        losses = super().train(part, below, task)
        moved = {n for n, b in bytes_of(task.backbone, others).items() if b != before[n]}
        learned = {n for n, b in bytes_of(task.backbone, part.stages).items() if b != own[n]}
        ORDER.append((list(part.stages), len(below.parts), below.rows is not None, moved))
        assert learned == own.keys()
        return losses


ORDER = []


@pytest.mark.parametrize(("use", "kept"), [("auto", True), ("off", False)])
def test_stage_after_stage_learns_while_all_others_stay_to_the_byte(use, kept):
    ORDER.clear()
    one_epoch = {**LAYERWISE.settings, "epochs": 1}
    Watched(**one_epoch).learn(task(use=use))

    stages = [[index] for index in range(5)]
    assert [(own, number) for own, number, *_ in ORDER] == [*zip(stages, range(5), strict=True)]
    assert [rows for _, _, rows, _ in ORDER] == [False, *[kept] * 4]
    assert not any(moved for *_, moved in ORDER)


@pytest.mark.parametrize(("use", "times"), [("auto", [1, 1, 1, 1, 0]), ("off", [8, 6, 4, 2, 0])])
def test_what_a_finished_stage_gives_is_computed_once(use, times):
    """In evaluation mode, as frozen stages are, each sees every image so many times."""
    made, seen = task(use=use), [0] * 5
    for index, stage in enumerate(made.backbone.stages):
        first = made.backbone.net.get_submodule(stage.modules[0])

        def count(module, inputs, _, index=index):
            seen[index] += 0 if module.training else len(inputs[0])

        first.register_forward_hook(count)
    changed(epochs=2).learn(made)
    # Without the cache once per epoch of each stage above; and two images each time it is cut.
    looks = [count % 24 for count in seen]
    assert [count // 24 for count in seen] == times
    assert max(looks) < 24


def test_the_loss_falls_in_every_stage():
    found = changed(epochs=8, lr=1e-2).learn(task())
    assert [part.stages for part in found] == ["stem", "stage1", "stage2", "stage3", "stage4"]
    assert all(part.last < 0.9 * part.first for part in found), found


def test_kept_or_computed_anew_the_weights_are_nearly_the_same():
    kept, anew = task(), task(use="off")
    for one in (kept, anew):
        torch.manual_seed(1)
        changed(epochs=1).learn(one)
    pairs = zip(kept.backbone.parameters(), anew.backbone.parameters(), strict=True)
    assert all(torch.allclose(a, b, atol=0.02) for a, b in pairs)


def test_what_has_its_size_already_is_not_resized(monkeypatch):
    backbone = Backbone(name="fractal_resnet", size=32)
    (_, part, *_) = slices(backbone)
    monkeypatch.setattr(torch.nn.functional, "interpolate", None)
    assert Decoder(part, backbone)(torch.zeros(1, *part.gives)).shape[1:] == part.takes


@pytest.mark.parametrize("family", sorted(FAMILIES.keys() - {"inception"}))
def test_every_family_is_a_row_of_stages_each_with_a_decoder(family):
    """Inception, which has thirteen stages, is in jobs/test_pretrain.py."""
    a_row_of_stages_each_with_a_decoder(family)


def test_stages_with_several_tensors_between_them_learn_together():
    parts = slices(Backbone(name="hrnet_w18_small", size=64))
    assert [index for part in parts for index in part.stages] == [*range(parts[-1].stages.stop)]
    assert max(len(part.stages) for part in parts) > 1


def test_a_backbone_that_cannot_be_split_is_one_line(monkeypatch):
    backbone = Backbone(name="fractal_resnet", size=32)
    forward = ResNet.forward_features
    undecided = lambda net, x: forward(net, x) if x.sum() > 0 else -forward(net, x)  # noqa: E731
    monkeypatch.setattr(ResNet, "forward_features", undecided)
    with pytest.raises(
        RegraftError, match="^fractal_resnet cannot be split into its stages: "
    ) as e:
        LAYERWISE.refuse(backbone)
    assert "\n" not in str(e.value)


def test_tokens_in_no_square_are_one_line():
    with pytest.raises(RegraftError, match="lie in no square.*pretrain=simclr"):
        Layout(False, 1).as_map(torch.zeros(1, 8, 4))
    assert Layout(False, 1).as_map(torch.zeros(1, 10, 4)).shape == (1, 4, 3, 3)


def test_masking_noise_puts_out_whole_squares_of_images_and_single_values_above():
    torch.manual_seed(0)
    squares = corrupted(torch.ones(200, 3, 10, 10), 0.25, 4)
    assert squares.mean().item() == pytest.approx(0.75, abs=0.03)
    assert torch.equal(squares[:, 0], squares[:, 2])
    inner = squares[:, 0, :4, 4:8].flatten(1)
    assert torch.equal(inner.amin(1), inner.amax(1))
    assert corrupted(torch.ones(50, 9), 0.25, 1).mean().item() == pytest.approx(0.75, abs=0.06)
