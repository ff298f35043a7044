"""Each illness on a small folder that has exactly it, and a healthy folder on which all is well."""

import copy
import io
import json
import shutil
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
import torch
from huggingface_hub import constants
from jobs import composed
from PIL import Image, ImageEnhance
from rich.console import Console
from rich.filesize import decimal

from regraft.data.images import Images
from regraft.data.sources import Source, Split
from regraft.data.transforms import InputConfig
from regraft.doctor import (
    copies,
    estimate,
    examine,
    labels,
    look,
    machine,
    network,
    pictures,
    pretrained,
)
from regraft.doctor.findings import Finding, as_json, red, show, yellow
from regraft.doctor.job import assemble
from regraft.doctor.pretrained import Pretrained
from regraft.environment import cores

HEALTHY = 250  # images per class, so that val and test are not too small


def picture(seed, size=64):
    """A picture that is like no other: blotches of every brightness."""
    blotches = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    return Image.fromarray(blotches).resize((size, size), Image.Resampling.BICUBIC)


def put(folder, count, *, first, size=64):
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(first, first + count):
        picture(number, size).save(folder / f"{number}.png")


@pytest.fixture
def root(tmp_path):
    """Two classes of 20 images."""
    put(tmp_path / "pets" / "cats", 20, first=0)
    put(tmp_path / "pets" / "dogs", 20, first=100)
    return tmp_path / "pets"


@pytest.fixture
def split_root(tmp_path):
    """The same with its own val and test."""
    for number, split in enumerate(("train", "val", "test")):
        put(tmp_path / "pets" / split / "cats", 12, first=1000 * number)
        put(tmp_path / "pets" / split / "dogs", 12, first=1000 * number + 500)
    return tmp_path / "pets"


@pytest.fixture(scope="module")
def healthy(tmp_path_factory):
    root = tmp_path_factory.mktemp("healthy") / "pets"
    put(root / "cats", HEALTHY, first=0)
    put(root / "dogs", HEALTHY, first=1000)
    return root


@cache
def meant(*words):
    """What these words mean for a job on any folder, composed once."""
    with TemporaryDirectory() as folder:
        return composed(Path(folder), "data=image_folder", "data.root=any", *words)


def job_on(root, *words):
    config = copy.deepcopy(meant(*words))
    config.data.root, config.output_dir = str(root), str(root.parent / "run")
    return assemble(config, root.parent / "outputs")


def seen(job):
    return look.look(job.images, seed=0, keep=8)


def near_copies(job):
    return pictures.near_copies(job.images, seen(job))


def one(findings):
    [found] = [finding for finding in findings if finding.level != "green"]
    return found


def test_a_healthy_folder_is_all_green_and_the_exit_code_is_0(healthy, tmp_path, capsys):
    words = ("data=image_folder", f"data.root={healthy}")
    code = examine.run(composed(tmp_path / "job", *words), tmp_path / "outputs", json=True)

    findings = json.loads(capsys.readouterr().out)
    assert code == 0
    assert [finding for finding in findings if finding["level"] != "green"] == []
    assert findings[0]["found"] == "pets: 2 classes, 348 train, 76 val, 76 test images"
    assert findings[0]["table"]["dogs"] == {"train": 174, "val": 38, "test": 38}
    checks = [finding["check"] for finding in findings]
    assert len(set(checks)) == len(checks)
    for check in ("readable", "copies", "near copies", "input", "weights", "time", "memory"):
        assert check in checks
    assert [*(tmp_path / "job").iterdir()] == []
    assert not (tmp_path / "outputs").exists()


def test_a_red_finding_makes_the_exit_code_1_and_is_printed_with_its_fix(root, tmp_path, capsys):
    shutil.copy(root / "cats" / "0.png", root / "dogs" / "again.png")
    words = ("data=image_folder", f"data.root={root}")
    code = examine.run(composed(tmp_path / "job", *words), tmp_path / "outputs", json=False)

    lines = capsys.readouterr().out.splitlines()
    [number] = [n for n, line in enumerate(lines) if line.startswith("error")]
    assert code == 1
    assert "copies, labels      1 image is there with two labels: " in lines[number]
    assert "→ decide which label is right" in lines[number + 1]
    assert lines[-1].startswith("1 error, ")


def test_what_serves_as_which_split_is_one_line(split_root):
    (split_root / "train").rename(split_root / "Training")
    shutil.rmtree(split_root / "val")
    [found] = [one for one in labels.counts(job_on(split_root)) if one.check == "splits"]
    assert found.found.startswith("train is 'Training', test is 'test'; 4 images for val split off")


def test_a_split_without_images_is_said_and_not_judged_by(split_root):
    shutil.rmtree(split_root / "test")
    job = job_on(split_root)
    assert job.images.sizes["test"] == 0
    assert [one.check for one in labels.precision(job)] == ["val size"]
    found = {one.check: one.found for one in labels.counts(job)}
    assert found["splits"].endswith("no test, so val judges, which also chooses the epoch")
    assert "missing classes" not in found
    assert len(labels.precision(job_on(split_root, "data.judge_by=test"))) == 2


def test_what_was_joined_is_said(root):
    (root / "cats" / "0.png").rename((root / "Cats").mkdir() or root / "Cats" / "0.png")
    found = one(labels.counts(job_on(root, "data.merge_labels=true")))
    assert (found.check, found.level) == ("left out or joined", "yellow")
    assert "are one class (data.merge_labels=true): 'Cats' as 'cats'" in found.found


def test_classes_of_unequal_size(root):
    put(root / "cats", 80, first=200)
    found = one(labels.counts(job_on(root)))

    assert (found.check, found.level) == ("balance", "yellow")
    assert found.found == "70 training images of cats, 14 of dogs"
    assert "balance=weights or balance=sampler" in found.fix
    assert "macro F1" in found.fix
    balanced = labels.counts(job_on(root, "balance=weights"))
    assert all(finding.level == "green" for finding in balanced)


def test_a_class_with_few_images(root):
    assert all(finding.level == "green" for finding in labels.counts(job_on(root)))
    found = one(labels.counts(job_on(root, "data.per_class=4")))

    assert (found.check, found.level) == ("few images", "yellow")
    assert found.found == "4 training images of cats"


def test_a_class_that_is_never_tested(split_root):
    shutil.rmtree(split_root / "test" / "dogs")
    found = one(labels.counts(job_on(split_root)))

    assert (found.check, found.level) == ("missing classes", "yellow")
    assert found.found == "test has no image of dogs, so nothing tells how good they are"


def test_val_and_test_that_tell_little(root, healthy):
    val, test = labels.precision(job_on(root))

    assert (val.level, test.level) == ("yellow", "yellow")
    assert test.found == "6 images tell an accuracy of 80% to ± 27.6 points"
    assert [finding.level for finding in labels.precision(job_on(healthy))] == ["green"] * 2


def test_more_new_parameters_than_images_can_fill(root):
    assert labels.enough(job_on(root, "strategy=finetune"))[0].level == "green"
    found = one(labels.enough(job_on(root, "strategy=scratch")))

    assert found.check == "parameters"
    assert found.found.startswith("558,602 parameters learn from 28 images: 19,950 per image, ")
    assert "-m strategy=feature_extraction,finetune,scratch" in found.fix


@pytest.mark.parametrize(("on_error", "level"), [("fail", "red"), ("skip", "yellow")])
def test_images_that_cannot_be_read(root, on_error, level):
    cut_off = (root / "dogs" / "100.png").read_bytes()[:-100]
    (root / "dogs" / "100.png").write_bytes(cut_off)
    job = job_on(root, f"data.on_error={on_error}")
    found = one(pictures.unreadable(job.images, seen(job), on_error, "data.on_error=skip"))

    assert found.level == level
    assert found.found.startswith(
        "all 40 images: 1 cannot be read: dogs/100.png (image file is trunc"
    )
    assert ("data.on_error=skip, or repair" in found.fix) == (on_error == "fail")


def test_when_time_is_short_a_random_sample_is_looked_at_and_said_so(root, monkeypatch):
    monkeypatch.setattr(look, "BUDGET_S", 0)
    job = job_on(root)
    found = pictures.unreadable(job.images, seen(job), "fail", "")

    assert found[0].found == "16 of 40 images, a random sample: all can be read"


def test_copies_with_two_labels(root):
    shutil.copy(root / "cats" / "0.png", root / "dogs" / "again.png")
    found = {finding.check: finding for finding in copies.exact(job_on(root).images)}

    assert found["copies, labels"].level == "red"
    assert "1 image is there with two labels: cats/0.png (" in found["copies, labels"].found
    assert " = dogs/again.png (" in found["copies, labels"].found


def test_copies_in_two_splits(split_root):
    for number in (1, 2):
        name = f"{number}.png"
        shutil.copy(split_root / "train" / "cats" / name, split_root / "test" / "cats" / name)
    found = one(copies.exact(job_on(split_root).images))

    assert (found.check, found.level) == ("copies, splits", "red")
    assert found.found == (
        "2 images are there in two splits: "
        "train/cats/1.png (train, cats) = test/cats/1.png (test, cats)"
    )
    assert near_copies(job_on(split_root))[0].level == "green"  # one finding is enough


def test_copies_within_a_split(split_root):
    shutil.copy(split_root / "val" / "dogs" / "1500.png", split_root / "val" / "dogs" / "b.png")
    found = one(copies.exact(job_on(split_root).images))

    assert (found.check, found.level) == ("copies", "yellow")
    assert "val/dogs/1500.png (val, dogs) = val/dogs/b.png (val, dogs)" in found.found


def test_all_images_the_same(root):
    for path in root.rglob("*.png"):
        shutil.copyfile(root / "cats" / "0.png", path) if path.name != "0.png" else None
    found = one(copies.exact(job_on(root).images))

    assert (found.level, found.found) == ("red", "all 40 images are the same")


def test_files_that_were_not_compared_for_lack_of_time_are_counted(root, monkeypatch):
    for path in root.rglob("*.png"):
        Image.open(path).save(path.with_suffix(".bmp"))
        path.unlink()
    monkeypatch.setattr(copies, "BUDGET_S", 0)
    [found] = copies.exact(job_on(root).images)

    assert "(0 of 40 files of equal size compared, for lack of time)" in found.found


def arrays(train, val, test):
    """Images out of memory, of one class per image."""
    splits = [
        Split(
            np.stack([np.asarray(image) for image in some]),
            np.arange(len(some)),
            tuple(f"{name}/{index}" for index in range(len(some))),
        )
        for name, some in (("train", train), ("val", val), ("test", test))
    ]
    source = Source("arrays", tuple(map(str, range(len(train)))), *splits)
    input = InputConfig((32, 32), (0.5,) * 3, (0.3,) * 3, "bilinear", 1.0)
    return Images(source, input, batch_size=4, workers=0)


def test_copies_in_arrays():
    train = [picture(seed) for seed in range(4)]
    found = one(copies.exact(arrays(train, [picture(9)], [train[0], picture(8)])))

    assert found.check == "copies, splits"
    assert found.found.endswith("train/0 (train, 0) = test/0 (test, 0)")
    [found] = copies.exact(arrays(train, [picture(9)], [picture(8)]))
    assert (found.level, found.found) == ("green", "no image is there twice")


def coded_anew(image):
    file = io.BytesIO()
    image.save(file, "JPEG", quality=60)
    return Image.open(file)


CHANGES = {
    "coded anew": coded_anew,
    "smaller": lambda image: image.resize((50, 50), Image.Resampling.BICUBIC),
    "brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.15),
}


@pytest.mark.parametrize("change", CHANGES)
def test_near_copies_in_two_splits(split_root, change):
    changed = CHANGES[change](picture(3))
    changed.save(split_root / "test" / "cats" / "again.png")
    found = one(near_copies(job_on(split_root)))

    assert (found.check, found.level) == ("near copies", "yellow")
    assert found.found == (
        "1 pair, 49 of val and test compared with 24 of train (cosine of 16×16 thumbnails from "
        "0.975): test/cats/again.png (test) ≈ train/cats/3.png (train)"
    )


FRACTALS = ("data=fractals", "data.classes=10", "data.train=20", "data.val=5", "data.test=10")


@pytest.mark.parametrize("words", [("data=digits", "data.per_class=20"), FRACTALS])
def test_images_that_are_alike_by_nature_are_no_copies(tmp_path, words):
    """Of all digits, it is seen nightly."""
    [found] = near_copies(assemble(composed(tmp_path, *words), tmp_path))

    assert found.level == "green", found


def test_folders_and_images_that_are_left_out(root):
    put(root / ".ipynb_checkpoints", 1, first=0)
    put(root / "cats" / "__MACOSX", 1, first=0)
    picture(7).save(root / "loose.png")
    found = {finding.check: finding for finding in examine.left_out(job_on(root).cfg.data)}

    assert found["folders left out"].found == "not read: .ipynb_checkpoints, cats/__MACOSX"
    assert found["loose images"].found == "1 image beside the class folders: loose.png"
    assert {finding.level for finding in found.values()} == {"yellow"}


def test_files_that_are_not_read_are_counted_by_suffix_and_litter_apart(root):
    for index in range(6):
        (root / "cats" / f"{index}.MP4").write_bytes(b"\0")
        (root / "dogs" / f"{index}.txt").write_bytes(b"\0")
    findings = {f.check: f for f in examine.not_read(job_on(root).images.source)}
    left, litter = findings["files left out"], findings["beside images"]

    assert (left.level, litter.level) == ("yellow", "green")
    read = len(list((root / "cats").glob("*.png")))
    assert left.found == f"left out 6 of {6 + read} files of class cats: .mp4"
    assert litter.found == "not looked into: 6 .txt"


def test_white_of_floats_and_pixels_that_are_no_brightness(root):
    values = np.random.default_rng(0).uniform(0, 255, (8, 8)).astype(np.float32)
    values[0, :4] = np.nan
    Image.fromarray(values).save(root / "cats" / "float.tif")
    white, odd = pictures.white(job_on(root).images.source.white)
    assert (white.check, white.level) == ("white", "green")
    assert white.found.startswith("floats: 255 (they reach 25")
    assert (odd.check, odd.level) == ("pixels", "yellow")
    assert odd.found.startswith("4 NaN of 64 pixels, in 1 of 1 images")


def test_folders_beside_train_are_left_out(split_root):
    assert examine.left_out(job_on(split_root).cfg.data)[0].level == "green"
    put(split_root / "more" / "cats", 1, first=0)
    found = one(examine.left_out(job_on(split_root).cfg.data))

    assert found.found == "not read: more"


def test_images_much_smaller_than_the_input(root, tmp_path):
    put(tmp_path / "small" / "cats", 20, first=0, size=20)
    put(tmp_path / "small" / "dogs", 20, first=50, size=20)
    job, well = job_on(tmp_path / "small"), job_on(root)
    found = one(pictures.input_size(job.images, seen(job)))

    assert found.found == (
        "100% of the images are smaller than the input (e.g. 20×20), 100% less than half of it"
    )
    assert {f.level for f in pictures.input_size(well.images, seen(well))} == {"green"}


def test_images_that_are_far_from_what_the_weights_expect(root):
    for path in root.rglob("*.png"):
        ImageEnhance.Brightness(Image.open(path)).enhance(0.05).save(path)
    job = job_on(root)
    found = one(pictures.brightness(job.images, seen(job)))

    assert found.check == "brightness"
    assert found.found.startswith("normalised images have mean -1.7")


def test_images_of_a_single_colour(root):
    Image.new("RGB", (64, 64), "teal").save(root / "dogs" / "100.png")
    job = job_on(root)
    found = one(pictures.brightness(job.images, seen(job)))

    assert found.found.startswith("1 of 40 images has a single colour: dogs/100.png (")


def test_batch_norm_that_learns_from_tiny_batches(root):
    words = ("strategy=finetune", "loader.batch_size=4", "freeze.fixed_norm_below=0")
    found = one(network.batch_norm(job_on(root, *words)))

    assert found.found == "batch norm of trained stages learns from batches of 4 images"
    assert found.fix.endswith("freeze.fixed_norm_below=29")
    for well in ("freeze.fixed_norm_below=29", "loader.batch_size=16"):
        assert network.batch_norm(job_on(root, *words, well)) == []
    assert network.batch_norm(job_on(root, "loader.batch_size=4")) == []  # nothing is tuned


def test_rates_are_those_of_the_optimizer(root):
    words = ("strategy=finetune", "optimizer.lr=0.01", "optimizer.stage_decay=0.5")
    [found] = network.rates(job_on(root, *words))

    assert found.found.endswith("stage3 0.0005, stage4 0.001, head 0.01")


@pytest.mark.parametrize(("reached", "level"), [(True, "yellow"), (False, "red")])
def test_weights_that_are_not_on_this_machine_are_not_downloaded(
    reached, level, root, tmp_path, monkeypatch
):
    monkeypatch.setattr(pretrained, "answers", lambda *_, **__: reached)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("socket.socket.connect", None)  # whoever asks a network fails
    words = ("backbone=timm", "backbone.name=test_resnet.r160_in1k")
    job = job_on(root, *words)
    found = one(pretrained.weights(job.pretrained, job.parameters()))

    assert found.level == level
    assert found.found.startswith("timm/test_resnet.r160_in1k is not on this machine; about ")
    assert found.found.endswith("which does not answer") == (not reached)
    assert job.backbone.weights == "random"

    snapshot = tmp_path / "hub" / "models--timm--test_resnet.r160_in1k"
    (snapshot / "snapshots" / "a1").mkdir(parents=True)
    (snapshot / "snapshots" / "a1" / "model.safetensors").touch()
    (snapshot / "refs").mkdir()
    (snapshot / "refs" / "main").write_text("a1")
    backbone = job.backbone
    backbone.weights = "pretrained"
    assert pretrained.find(backbone).here


@pytest.mark.parametrize(
    ("licence", "level"), [("apache-2.0", "green"), ("cc-by-nc-4.0", "yellow"), (None, "yellow")]
)
def test_a_licence_that_forbids_something(licence, level):
    found = pretrained.weights(Pretrained("some/net", licence, here=True, own=False), 10)

    assert found[-1].level == level
    if licence == "cc-by-nc-4.0":
        assert found[-1].found == "some/net has the licence cc-by-nc-4.0"


def test_a_disk_without_room(root, monkeypatch):
    job = job_on(root)
    assert [finding.level for finding in machine.disks(job)] == ["green", "green"]
    monkeypatch.setattr(
        machine.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10, 10, 1000)
    )
    outputs, cache = machine.disks(job)

    assert (outputs.level, cache.level) == ("red", "red")
    assert outputs.found.startswith(f"{job.outputs}: needs about 3.")
    assert outputs.found.endswith("1.0 kB are free")
    assert "12.8 kB" in cache.found  # 40 images, 160 features, 2 bytes
    assert "regraft cache prune" in cache.fix


def test_a_gpu_that_would_stand_idle(root, monkeypatch):
    job = job_on(root, "trainer.accelerator=cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    found = machine.environment(job, seen(job))[0]

    assert (found.level, found.fix) == ("yellow", "trainer.accelerator=auto")


def test_more_processes_than_cores(root):
    job = job_on(root, "loader.workers=1000")
    found = machine.environment(job, seen(job))[1]

    assert found.level == "yellow"
    assert found.found.startswith("loader.workers=1000, and ")
    assert found.fix.startswith(f"loader.workers={cores()}")


def test_the_time_is_the_sum_of_its_pieces(split_root):
    job = job_on(split_root, "strategy=finetune", "loader.batch_size=10", "trainer.max_epochs=4")
    costs = estimate.Costs(forward=0.1, step=2.0, batch=10)

    # 72 images are read; 4 epochs of 3 batches; val is judged five times, test once.
    seconds, words = estimate._time(job, costs, read=0.5)
    assert seconds == pytest.approx(72 * 0.5 + 4 * 3 * 2 + (5 * 24 + 24) * 0.1)
    assert words == (
        "about 74 s: reading the images once 36 s (none if they are in the cache), "
        "4 epochs of 6 s (3 × 2 s)"
    )


def test_a_step_that_takes_too_long_is_timed_with_fewer_images(root, monkeypatch):
    assert estimate._affordable(1e-4, 64) == 64
    assert estimate._affordable(0.1, 64) == 2
    monkeypatch.setattr(estimate, "_affordable", lambda seconds, batch: 3)
    job = job_on(root, "strategy=finetune", "loader.batch_size=16")
    time, memory = estimate.estimate(job, seen(job))

    assert time.found.endswith("timed with batches of 3")
    assert memory.found.endswith("for batches of 16")  # which is what will be used


def costs_on(root, *words):
    job = job_on(root, "loader.batch_size=16", *words)
    pixels = torch.stack([one.fitted for one in seen(job).seen if one.fitted is not None])
    return job, estimate._measure(job, pixels)


def test_memory_is_that_of_the_batch_that_will_be_used(root, monkeypatch):
    job, whole = costs_on(root, "strategy=finetune")
    monkeypatch.setattr(estimate, "_affordable", lambda seconds, batch: 2)
    _, few = costs_on(root, "strategy=finetune")
    monkeypatch.setattr(estimate, "_peak", lambda: 10**8)

    assert (whole.batch, few.batch) == (16, 2)
    assert few.kept == pytest.approx(whole.kept, rel=0.02)  # of an image
    assert estimate._more(whole, 16) == 0
    assert estimate._more(few, 16) == 14 * few.kept
    found = estimate._memory(job, torch.device("cpu"), few).found
    assert found.startswith(f"about {decimal(10**8 + 14 * few.kept)} of main memory (")
    assert found.endswith(") for batches of 16")


def test_memory_follows_from_the_plan_and_the_precision(root):
    _, tuned = costs_on(root, "strategy=finetune")
    _, frozen = costs_on(root, "strategy=finetune", "freeze=first", "freeze.stages=3")
    _, head = costs_on(root)
    _, half = costs_on(root, "strategy=finetune", "trainer=mixed")

    assert tuned.kept > 2 * frozen.kept > 20 * head.kept > 0
    assert 0.4 * tuned.kept < half.kept < 0.8 * tuned.kept
    # Features are computed in whole batches before: two maps of 8 channels at half of 64 pixels.
    assert head.passed.largest >= 2 * 4 * 8 * 32 * 32
    assert estimate._more(replace(head, passed=head.passed._replace(images=2)), 16) > 0


def test_a_batch_that_is_likely_not_to_fit_is_a_warning(root, monkeypatch):
    job = job_on(root, "loader.batch_size=16", "trainer.accumulate_grad_batches=2")
    monkeypatch.setattr(estimate, "_installed", lambda: 10**9)
    monkeypatch.setattr(estimate, "_peak", lambda: 10**8)
    fits, does_not = (
        estimate._memory(job, torch.device("cpu"), estimate.Costs(0, 0, batch=2, kept=kept))
        for kept in (10**6, 10**8)
    )
    assert (fits.level, does_not.level) == ("green", "yellow")
    assert fits.found == (
        "about 114.0 MB of main memory (1.0 GB) for batches of 16, 2 of them a step"
    )
    assert does_not.fix.startswith("loader.batch_size=8 trainer.accumulate_grad_batches=4, or")


def test_to_read_for_long_in_one_process_is_worth_a_word(root, monkeypatch):
    job = job_on(root)
    sample = seen(job)
    monkeypatch.setattr(machine, "cores", lambda: 4)
    assert machine.environment(job, sample)[1].level == "green"
    monkeypatch.setattr(machine, "LONG_READ_S", 0)
    found = machine.environment(job, sample)[1]

    assert (found.level, found.fix) == ("yellow", "loader.workers=4")
    assert found.found.startswith("loader.workers=0, and 4 cores; to read all images in one")


def test_a_batch_that_does_not_fit(root, monkeypatch):
    def full(*_):
        raise torch.OutOfMemoryError

    monkeypatch.setattr(estimate, "_measure", full)
    job = job_on(root)
    found = one(estimate.estimate(job, seen(job)))

    assert (found.check, found.level) == ("memory", "red")
    assert found.fix == "loader.batch_size=32 trainer.accumulate_grad_batches=2, or trainer=mixed"
    assert job_on(root, *found.fix.replace(", or", "").split()).images.batch_size == 32


def test_findings_are_read_without_colour_and_by_scripts():
    findings = [
        Finding("classes", "green", "2 classes", table={"a": {"train": 1}}),
        yellow("balance", "uneven [70]", "balance=weights"),
        red("copies", "leak", "delete them"),
    ]
    out = io.StringIO()
    show(findings, Console(file=out, width=60), 1.2)
    lines = out.getvalue().splitlines()

    assert "│ a     │     1 │" in lines
    assert "warning  balance             uneven [70]" in lines
    assert "error    copies              leak" in lines
    assert lines[-2].strip() == "→ delete them"
    assert lines[-1] == "1 error, 1 warning, 1 ok; it took 1 s"
    data = json.loads(as_json(findings))
    assert data[0]["table"] == {"a": {"train": 1}}
    assert data[2] == {"check": "copies", "level": "red", "found": "leak", "fix": "delete them"}


@pytest.fixture
def doctor(regraft):
    return partial(regraft, "doctor")


def test_the_command_takes_the_words_of_train_and_leaves_nothing_behind(doctor, healthy, tmp_path):
    words = ["data=image_folder", f"data.root={healthy}", "hydra.run.dir=elsewhere", "logger=none"]
    done = doctor("strategy=finetune", *words, "--json")

    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    findings = {finding["check"]: finding for finding in json.loads(done.stdout)}
    assert {finding["level"] for finding in findings.values()} == {"green"}
    assert findings["disk, outputs"]["found"].startswith("elsewhere: needs about 15.")
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["-m", "seed=0,1"], "-m: doctor is for one job at a time; give one value per key"),
        (["optimizer.lrr=3"], "did you mean 'optimizer.lr'"),
        (["data=image_folder", "data.root=nowhere"], "there is no folder 'nowhere'"),
        (["data=digits", "--bogus"], "--bogus: no such flag"),
        (["data=digits", "--config-dir", ".", "strategy=scrtch"], "did you mean 'scratch'"),
    ],
)
def test_a_wrong_word_is_one_line(doctor, words, message):
    done = doctor(*words)

    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert line.startswith("error: ")
    assert message in line
