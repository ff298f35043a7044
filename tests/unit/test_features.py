"""What frozen stages give is computed once, is never stale, and changes nothing."""

import itertools
from dataclasses import replace
from types import SimpleNamespace

import families
import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from PIL import Image

from regraft import features, head, plan
from regraft.data import images as images_room
from regraft.data.augment import Light, Mixup
from regraft.data.images import Images
from regraft.data.sources import Source, Split
from regraft.data.white import Whites
from regraft.errors import RegraftError
from regraft.features import Caching
from regraft.paths import features_folder
from regraft.store import NotStoredError, Store

AUTO = Caching(use="auto", dtype="float16", views=0, max_gb=1)
FULL = Caching(use="auto", dtype="float32", views=0, max_gb=1)


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("REGRAFT_CACHE", str(tmp_path / "cache"))


def split(count, seed):
    images = np.random.default_rng(seed).integers(0, 256, (count, 16, 16, 3), dtype=np.uint8)
    return Split(images, np.arange(count) % 2, tuple(map(str, range(count))))


SOURCE = Source("noise", ("a", "b"), split(6, 0), split(4, 1), split(5, 2))


def made(family="resnet", keep=None, above="tune", source=SOURCE, make_head=head.linear, seed=0):
    """A backbone with its first stages kept, a head, images and a trainer."""
    backbone = families.backbone(family, seed)
    depth = len(backbone.stages)
    stages = depth if keep is None else keep
    policy = plan.first(depth, 6, stages=stages, above=above, fixed_norm_below=0)
    plan.graft(policy, backbone)
    images = Images(source, backbone.input, batch_size=4, workers=0)
    return policy, backbone, make_head(backbone.out_features, backbone.map_shape, 2), images


def trainer(**options):
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    return pl.Trainer(accelerator="cpu", max_epochs=1, **quiet, **options)


def compute(caching, parts, **options):
    policy, backbone, top, images = parts
    once = features.decide(caching, policy, backbone, top, images)
    return features.compute(caching, once, backbone, images, trainer(**options), unwatched)


def unwatched(chunks, total, doing):
    return chunks


# Cached equals uncached.


KEPT = [(family, 2) for family in families.FAMILIES]
KEPT += [(family, None) for family in families.FAMILIES if family != "inception"]  # a second of it


@pytest.mark.parametrize(("family", "keep"), KEPT)
def test_logits_from_what_is_stored_are_those_of_the_images(family, keep):
    parts = made(family, keep)
    _, backbone, top, images = parts
    once, computed = compute(FULL, parts)

    backbone.eval()
    for name in features.SPLITS:
        rows, labels = computed.data.tensors[name]
        bytes_ = torch.cat([x for x, _ in images.loader(name)])
        with torch.no_grad():
            expected = backbone(images.input.normalize(bytes_), top.takes)
            scale = expected.abs().max().clamp_min(1)  # random weights may make huge numbers
            found = once.cut.suffix(rows)
            torch.testing.assert_close(found / scale, expected / scale, rtol=0, atol=1e-5)
        assert torch.equal(labels, images.labels(name))


# Never stale.


def keys(parts, dtype="float16", **options):
    policy, backbone, top, images = parts
    once = features.decide(AUTO, policy, backbone, top, images)
    backbone.eval()
    common = features.depends_on(once.cut, backbone, trainer(**options))
    return {features.key_of(images, name, common, None, dtype) for name in features.SPLITS}


def nudged(parts, stage, kind):
    """The same with one number of one stage changed by as little as possible."""
    state = parts[1].net.state_dict()
    names = [n for n in parts[1].stages[stage].tensors if kind in n]
    with torch.no_grad():
        first = (0,) * state[names[0]].ndim
        state[names[0]][first] = torch.nextafter(state[names[0]][first], torch.tensor(torch.inf))
    return parts


def changed_pixel():
    images = SOURCE.train.images.copy()
    images[3, 7, 7, 1] ^= 1
    return replace(SOURCE, train=replace(SOURCE.train, images=images))


def with_input(**changes):
    policy, backbone, top, images = made()
    backbone.input = replace(backbone.input, **changes)
    images = Images(SOURCE, backbone.input, batch_size=4, workers=0)
    return policy, backbone, top, images


def with_white(white):
    return made(source=replace(SOURCE, white=Whites((white, white, white))))


def test_the_same_parts_have_the_same_keys():
    assert keys(made()) == keys(made())


CHANGES = {
    "a weight": lambda: keys(nudged(made(), 4, "weight")),
    "a buffer": lambda: keys(nudged(made(), 0, "running_mean")),
    "the weights": lambda: keys(made(seed=1)),
    "the cut": lambda: keys(made(keep=3)),
    "the end": lambda: keys(made(make_head=lambda *a: head.conv_mlp(*a, width=4, hidden=4))),
    "dropped stages": lambda: keys(made(keep=4, above="drop")),
    "mean": lambda: keys(with_input(mean=(0.5, 0.4, 0.3))),
    "std": lambda: keys(with_input(std=(0.5, 0.4, 0.3))),
    "interpolation": lambda: keys(with_input(interpolation="nearest")),
    "crop": lambda: keys(with_input(crop_pct=0.5)),
    "crop mode": lambda: keys(with_input(crop_mode="squash")),
    "size": lambda: keys(with_input(size=(96, 96))),
    "white": lambda: keys(with_white(4095)),
    "type": lambda: keys(made(), dtype="float32"),
    "precision": lambda: keys(made(), precision="bf16-mixed"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_every_ingredient_changed_alone_is_a_miss_for_every_split(change):
    assert not keys(made()) & CHANGES[change]()


def test_a_pixel_is_a_miss_for_its_split_only():
    assert len(keys(made()) & keys(made(source=changed_pixel()))) == 2


def test_the_order_of_images_is_part_of_the_key():
    turned = replace(SOURCE, train=SOURCE.train.take(np.arange(6)[::-1]))
    assert len(keys(made()) & keys(made(source=turned))) == 2


def test_a_newer_library_is_a_miss(monkeypatch):
    before = keys(made())
    for library in images_room.LIBRARIES:
        versions = dict.fromkeys(images_room.LIBRARIES, "1.0") | {library: "2.0"}
        monkeypatch.setattr("regraft.fingerprint.metadata.version", versions.__getitem__)
        now = keys(made())
        assert not now & before
        before |= now


def test_a_trained_stage_above_the_cut_is_not_part_of_the_key():
    assert keys(made(keep=2)) == keys(nudged(made(keep=2), 3, "weight"))


# What is decided, and said.


def reason(caching=AUTO, **how):
    policy, backbone, top, images = made(**how)
    return features.decide(caching, policy, backbone, top, images)


def test_what_is_computed_once_is_said_with_its_size():
    once = reason(keep=2)
    count = np.prod(once.cut.shape)
    assert once.stages == 2
    shape = "×".join(map(str, once.cut.shape))
    assert once.reason.startswith("first 2 of 5 stages: ")
    assert f"{15 * count * 2 / 1000:.1f} kB, {shape} float16 per image" in once.reason


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"caching": replace(AUTO, use="off")}, "features=off"),
        ({"keep": 0}, "no leading stage is kept"),
        ({"caching": replace(AUTO, max_gb=1e-6)}, "more than features.max_gb=1e-06 (1.0 kB)"),
    ],
)
def test_what_is_not_computed_once_is_said_with_its_reason(how, said):
    once = reason(**how)
    assert once.cut is None
    assert said in once.reason


def test_a_cache_that_cannot_be_written_is_known_before_the_plan_is_shown(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("REGRAFT_CACHE", str(tmp_path / "file"))
    once = reason()
    assert once.cut is None
    assert once.reason == (
        f"{tmp_path / 'file' / 'features'}: not writable; set REGRAFT_CACHE to another folder"
    )


def test_asked_for_and_impossible_is_an_error():
    with pytest.raises(RegraftError, match="features=on: no leading stage is kept"):
        reason(replace(AUTO, use="on"), keep=0)


@pytest.mark.parametrize("caching", [AUTO, FULL], ids=["half", "full"])
def test_precision_is_what_was_asked_for(caching):
    _, computed = compute(caching, made())
    rows, _ = computed.data.tensors["train"]
    assert str(rows.dtype) == f"torch.{caching.dtype}"
    assert computed.bytes == 15 * rows[0].numel() * rows.element_size()


def test_what_half_precision_cannot_hold_is_kept_in_full_and_tried_once_only():
    parts = made()
    with torch.no_grad():
        for parameter in parts[1].stage_parameters(4).values():
            parameter.mul_(1e4)
    _, computed = compute(AUTO, parts)
    rows, _ = computed.data.tensors["train"]
    assert rows.dtype == torch.float32
    assert rows.isfinite().all()
    assert rows.max() > 65504
    forwarded = parts[1].images_forwarded
    _, again = compute(AUTO, parts)
    assert again.hit
    assert parts[1].images_forwarded == forwarded
    assert torch.equal(again.data.tensors["train"][0], rows)


@pytest.fixture
def full_disk(monkeypatch):
    def full(*_):
        raise NotStoredError("/disk: no space left; 3 MB could not be kept")

    monkeypatch.setattr(Store, "compute", full)


def test_a_full_disk_is_one_line_and_no_cache(full_disk, caplog):
    once, computed = compute(AUTO, made())
    assert computed is None
    assert (once.stages, "no space left" in once.reason) == (0, True)
    assert "no space left" in caplog.text
    assert "in every epoch" in caplog.text
    assert features.cost(computed, []) == {"cache": "off"}


def test_a_full_disk_is_an_error_where_computing_once_was_asked_for(full_disk):
    with pytest.raises(NotStoredError, match="no space left"):
        compute(replace(AUTO, use="on"), made())


def test_what_is_saved_is_passes_less_what_was_spent():
    passes = {"train": 2.0, "val": 0.5, "test": 1.0}
    computed = features.Computed(None, hit=True, bytes=7, seconds=0.25, passes=passes)
    epochs = [{"epoch": 0, "val/acc": 0.5}, {"epoch": 1}, {"epoch": 2, "val/acc": 0.6}]
    cost = features.cost(computed, epochs)
    assert cost["saved_s"] == 3 * 2.0 + (2 + 1) * 0.5 + 1.0 - 0.25


def test_the_first_batch_which_warms_up_is_no_measure_of_a_pass(monkeypatch):
    """It was counted in every epoch: a run of 3 s said that it had saved 939 s."""
    clock = itertools.accumulate(itertools.chain([0.0, 0.0, 100.0], itertools.cycle([0.0, 0.5])))
    monkeypatch.setattr(features, "time", SimpleNamespace(perf_counter=lambda: next(clock)))
    _, computed = compute(AUTO, made())
    sizes = {split: len(labels) for split, (_, labels) in computed.data.tensors.items()}
    assert computed.passes == {split: pytest.approx(0.5 / 4 * n) for split, n in sizes.items()}
    assert computed.warming == pytest.approx(100 - 0.5)  # once, as it would be without


def test_what_was_kept_without_a_measure_claims_no_saving(monkeypatch):
    compute(AUTO, made())
    record = Store.entry

    def old(self, name):
        found = record(self, name)
        for key in ("image_s", "first_s") if found else ():
            found.record["about"].pop(key, None)
        return found

    monkeypatch.setattr(Store, "entry", old)
    _, again = compute(AUTO, made())
    assert again.hit and set(again.passes.values()) == {0.0}
    assert features.cost(again, [{"val/acc": 0.5}])["saved_s"] <= 0


def test_a_pass_is_one_however_many_versions_are_kept(monkeypatch):
    ticks = itertools.count()
    monkeypatch.setattr(features.time, "perf_counter", lambda: float(next(ticks)))
    _, one = compute(replace(FULL, views=1), augmented())
    _, three = compute(replace(FULL, views=3), augmented())
    assert one.passes["train"] == three.passes["train"] > 0


# Augmented views.

LIGHT = Light(scale=0.5, flip=0.5, jitter=0.3)


def augmented(light=LIGHT):
    policy, backbone, top, images = made()
    images = Images(SOURCE, backbone.input, light, batch_size=4, workers=0)
    return policy, backbone, top, images


def test_images_that_change_in_every_epoch_are_not_computed_once():
    policy, backbone, top, images = augmented()
    once = features.decide(AUTO, policy, backbone, top, images)
    assert once.cut is None
    assert "features.views=8" in once.reason


def test_images_that_are_mixed_with_each_other_are_never_computed_once():
    mixup = Mixup(scale=0.5, flip=0.5, mixup=0.2, cutmix=1.0)
    policy, backbone, top, images = augmented(mixup)
    once = features.decide(replace(AUTO, views=8), policy, backbone, top, images)
    assert once.cut is None
    assert "mixes images" in once.reason


def test_views_are_told_and_missed_without_augmentation(caplog):
    caching = replace(AUTO, views=3)
    once, _ = compute(caching, augmented())
    assert "float16 per image, 3 views per training image" in once.reason
    known = [entry.record["about"] for entry in caching.store.entries()]
    assert sorted(about.get("views", "") for about in known) == ["", "", "3 views"]
    assert "no effect" not in caplog.text
    caplog.clear()
    assert "view" not in reason(caching).reason
    assert caplog.messages == ["features.views=3 has no effect: augment=none"]


def test_views_are_several_versions_of_training_images_and_one_of_the_others():
    caching = replace(FULL, views=3)
    once, computed = compute(caching, augmented())
    rows, labels = computed.data.tensors["train"]
    assert (len(rows), len(labels), computed.data.views) == (18, 6, 3)
    assert len(computed.data.tensors["val"][0]) == 4
    assert once.reason.startswith("first 5 of 5 stages: ")
    plain = compute(FULL, made())[1].data.tensors
    for view in rows.view(3, 6, -1):
        assert not torch.allclose(view, plain["train"][0], atol=1e-4)
    assert not torch.allclose(rows[:6], rows[6:12], atol=1e-4)
    assert torch.equal(plain["val"][0], computed.data.tensors["val"][0])


def test_for_several_views_each_file_is_read_once(tmp_path, monkeypatch):
    paths = []
    for number, array in enumerate(SOURCE.train.images):
        paths.append(tmp_path / f"{number}.png")
        Image.fromarray(array).save(paths[-1])
    train = replace(SOURCE.train, images=tuple(paths))
    read, opened = images_room.read_image, []
    monkeypatch.setattr(images_room, "read_image", lambda p, _: opened.append(p) or read(p))
    policy, backbone, top, _ = made()
    source, settings = replace(SOURCE, train=train), {"batch_size": 4, "workers": 0}
    parts = Images(source, backbone.input, LIGHT, decoded_cache=True, **settings)
    compute(replace(FULL, views=3), (policy, backbone, top, parts))
    assert sorted(opened) == sorted(paths)


def test_every_epoch_draws_a_view_of_each_image_with_its_label():
    _, computed = compute(replace(FULL, views=3), augmented())
    rows, labels = computed.data.tensors["train"]
    owner = {tuple(row.tolist()): index for index, row in enumerate(rows)}
    seen, loader = set(), computed.data.train_dataloader()
    for _ in range(8):
        epoch = []
        for batch, targets in loader:
            places = [owner[tuple(row.tolist())] for row in batch]
            assert [int(labels[place % 6]) for place in places] == targets.tolist()
            epoch += [place % 6 for place in places]
            seen.update(places)
        assert sorted(epoch) == [0, 1, 2, 3, 4, 5]
    assert len(seen) > 12


def test_views_are_the_same_for_all_jobs_and_leave_their_random_numbers_alone():
    caching = replace(FULL, views=2)
    compute(caching, augmented())
    torch.manual_seed(5)
    expected = torch.rand(3)
    parts = augmented()
    torch.manual_seed(5)
    _, again = compute(caching, parts)
    assert again.hit
    torch.manual_seed(5)
    other = augmented(Light(scale=0.5, flip=0.5, jitter=0.2))
    torch.manual_seed(5)
    _, changed = compute(caching, other)
    assert not changed.hit
    assert torch.equal(torch.rand(3), expected)


def test_which_image_is_changed_how_depends_on_the_batches():
    policy, backbone, top, images = augmented()
    caching = replace(FULL, views=2)
    compute(caching, (policy, backbone, top, images))
    larger = Images(SOURCE, backbone.input, LIGHT, batch_size=6, workers=0)
    _, again = compute(caching, (policy, backbone, top, larger))
    assert not again.hit


def test_an_augmentation_of_another_module_is_another_one():
    caching = replace(FULL, views=2)
    compute(caching, augmented())
    _, again = compute(caching, augmented())
    own = type("Light", (Light,), {"__module__": "team"})(**vars(LIGHT))
    assert repr(own) == repr(LIGHT)
    _, other = compute(caching, augmented(own))
    assert (again.hit, other.hit) == (True, False)


def test_an_augmentation_that_cannot_be_told_from_others_is_not_kept():
    class Own:
        def __call__(self, images):
            return images

    once, computed = compute(replace(FULL, views=2), augmented(Own()))
    assert computed is None
    assert "__repr__" in once.reason


def test_an_image_that_is_changed_while_it_is_read_leaves_nothing(tmp_path, monkeypatch):
    parts = made()
    prints = itertools.count()
    monkeypatch.setattr(Images, "fingerprint", lambda *_: str(next(prints)))
    with pytest.raises(RegraftError, match="train images were changed while they were read"):
        compute(FULL, parts)
    assert not [*features_folder().rglob("*.npy")]


def test_training_does_not_change_what_is_stored(tmp_path):
    parts = made(keep=2)
    once, computed = compute(FULL, parts)
    before = {path: path.read_bytes() for path in features_folder().rglob("*.npy")}
    rows, _ = computed.data.tensors["train"]
    parts[1].train()
    once.cut.suffix(rows).sum().backward()
    assert before == {path: path.read_bytes() for path in features_folder().rglob("*.npy")}
    assert len(before) == 3


def test_half_precision_only_rounds():
    half, full = (compute(caching, made())[1].data.tensors["train"][0] for caching in (AUTO, FULL))
    assert (half.dtype, full.dtype) == (torch.float16, torch.float32)
    torch.testing.assert_close(half.float(), full, rtol=1e-3, atol=1e-6)
