import csv
import logging
import os
import sys
import time

import numpy as np
import pytest
import torch
from PIL import Image

from regraft import facts
from regraft.calibration import Calibration
from regraft.complaints import explain
from regraft.data import formats, readable
from regraft.data.folders import image_folder, passed_over
from regraft.data.images import Images
from regraft.data.transforms import InputConfig
from regraft.errors import RegraftError
from regraft.escaping import from_csv
from regraft.facts import Facts
from regraft.fingerprint import fingerprint
from regraft.jobs import read_answers
from regraft.outputs import write_predictions
from regraft.pictures import read_test
from regraft.predictions import NAME


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "pets"
    folder.mkdir()
    return folder


def put(folder, count, *, suffix=".png"):
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(count):
        Image.new("RGB", (4, 4)).save(folder / f"{index}{suffix}", format="PNG")


def load(root, seed=0, **changes):
    choices = {"val_fraction": 0.2, "test_fraction": 0.2, "split_seed": 0, "per_class": None}
    choices |= {"fold": None, "folds": 5, "fraction": None}
    choices |= {"on_error": "fail", "follow_links": False}
    return image_folder(seed, root=str(root), **(choices | changes))


def splits(source):
    return source.train, source.val, source.test


def one_line(root, **changes):
    with pytest.raises(RegraftError) as info:
        load(root, **changes)
    message = str(info.value)
    assert len(message.splitlines()) == 1
    return message


def test_class_folders_are_split_by_class_and_named_in_natural_order(root, caplog):
    for name in ("class 10", "class 2", "Class 1"):
        put(root / name, 10)
    with caplog.at_level(logging.INFO):
        source = load(root)

    assert source.name == "pets"
    assert source.classes == ("Class 1", "class 2", "class 10")
    assert [len(split) for split in splits(source)] == [18, 6, 6]
    assert len({name for split in splits(source) for name in split.names}) == 30
    for split in splits(source):
        for path, label, name in zip(split.images, split.labels, split.names, strict=True):
            assert path == root / name
            assert path.parent.name == source.classes[label]
    assert "6 images for val and 6 images for test split off train" in caplog.text
    assert load(root, split_seed=0).test.names == source.test.names
    assert load(root, split_seed=1).test.names != source.test.names


@pytest.mark.parametrize("val", ["val", "valid", "validation", "Val"])
def test_split_folders_are_taken_as_they_are(root, val):
    for split, count in {"train": 3, val: 1, "Test": 2}.items():
        for name in ("cat", "dog"):
            put(root / split / name, count)
    source = load(root)

    assert [len(split) for split in splits(source)] == [6, 2, 4]
    assert source.val.names == (f"{val}/cat/0.png", f"{val}/dog/0.png")


@pytest.mark.parametrize(("present", "split_off"), [("val", "test"), ("test", "val")])
def test_a_missing_split_folder_is_split_off_train(root, caplog, present, split_off):
    for split, count in {"train": 10, present: 3}.items():
        for name in ("cat", "dog"):
            put(root / split / name, count)
    with caplog.at_level(logging.INFO):
        source = load(root)

    assert len(getattr(source, present)) == 6
    assert len(getattr(source, split_off)) == 4
    assert len(source.train) == 16
    assert all(name.startswith("train/") for name in getattr(source, split_off).names)
    assert f"4 images for {split_off} split off train" in caplog.text


def test_hidden_and_foreign_things_are_no_classes_and_no_images(root):
    for name in ("cat", "dog", ".ipynb_checkpoints", "__MACOSX", ".git"):
        put(root / name, 5)
    put(root / "cat" / ".ipynb_checkpoints", 5)
    (root / "Thumbs.db").write_bytes(b"")
    for name in (".DS_Store", "Thumbs.db", "._0.png", "notes.txt"):
        (root / "cat" / name).write_bytes(b"")
    source = load(root)

    assert source.classes == ("cat", "dog")
    assert sum(len(split) for split in splits(source)) == 10


def test_extensions_may_be_upper_case_and_folders_nested(root):
    put(root / "cat", 3, suffix=".JPG")
    put(root / "cat" / "indoors", 3, suffix=".WebP")
    put(root / "dog", 3)

    assert sum(len(split) for split in splits(load(root))) == 9


def test_what_is_added_far_below_is_seen_by_the_next_job(root):
    for name in ("ant", "bee"):
        put(root / "train" / name / "wild" / "north", 10)
    before = sum(map(len, splits(load(root))))
    put(root / "train" / "ant" / "wild" / "north" / "far", 1)
    assert before + 1 == sum(map(len, splits(load(root))))
    Image.new("RGB", (4, 4)).save(root / "train" / "ant" / "wild" / "north" / "far" / "new.png")
    assert before + 2 == sum(map(len, splits(load(root))))


def test_links_may_lead_to_images_and_never_in_a_circle(root, tmp_path):
    put(tmp_path / "elsewhere", 4)
    put(root / "cat", 4)
    (root / "dog").symlink_to(tmp_path / "elsewhere")
    (root / "cat" / "up").symlink_to(root)
    (root / "cat" / "self").symlink_to(root / "cat" / "self")
    (root / "cat" / "deep").mkdir()
    (root / "cat" / "deep" / "back").symlink_to(root / "cat")
    assert f"{root / 'dog'} is a link that leads out of {root}, to " in one_line(root)
    source = load(root, follow_links=True)

    assert source.classes == ("cat", "dog")
    assert sum(len(split) for split in splits(source)) == 8


def test_links_within_the_folder_are_followed_as_ever(root):
    for name in ("cat", "dog"):
        put(root / name, 4)
    (root / "cat" / "same.png").symlink_to("../dog/0.png")
    (root / "cat" / "README").symlink_to("/etc/hostname")  # which is not read
    assert sum(len(split) for split in splits(load(root))) == 9


def test_links_lead_to_images_and_say_where_they_lead_nowhere(root, tmp_path, caplog):
    put(tmp_path / "elsewhere", 1)
    for name in ("cat", "dog"):
        put(root / name, 4)
    (root / "cat" / "link.png").symlink_to(tmp_path / "elsewhere" / "0.png")
    (root / "cat" / "lost.png").symlink_to(tmp_path / "gone.png")
    (root / "fox").symlink_to(tmp_path / "unmounted")
    assert f"{root / 'cat' / 'link.png'} is a link that leads out" in one_line(root)
    source = load(root, follow_links=True)

    assert source.classes == ("cat", "dog")
    images = [path for split in splits(source) for path in split.images]
    assert len(images) == 10
    assert f"{root / 'fox'} leads nowhere and is ignored" in caplog.text
    with pytest.raises(RegraftError, match="lost.png': no such file .*; repair the file or delete"):
        fingerprint(images)


def test_a_folder_may_be_called_like_an_image(root):
    put(root / "cat.jpg", 5)
    put(root / "dog", 5)
    put(root / "dog" / "burst.jpg", 2)
    assert load(root).classes == ("cat.jpg", "dog")
    assert sum(map(len, splits(load(root)))) == 12

    put(root / "cat.jpg", 6)
    assert sum(map(len, splits(load(root)))) == 13


def test_a_class_may_hold_only_folders(root):
    put(root / "cat" / "indoors" / "day", 5)
    put(root / "dog" / "outdoors", 5)
    assert load(root).classes == ("cat", "dog")

    (root / "fox" / "nothing").mkdir(parents=True)
    assert "class folder 'fox' in" in one_line(root)


def test_a_class_may_have_one_image_where_the_splits_are_given(root):
    for split in ("train", "val", "test"):
        for name in ("cat", "dog"):
            put(root / split / name, 1)
    assert [len(split) for split in splits(load(root))] == [2, 2, 2]


NAMES = ["two words", "one,two", "two\nlines", "it's", 'say "x"', "Ä ñ 猫 🐈", "a=b", "100%", "[x]"]


def test_names_may_hold_anything(root, tmp_path):
    for name in NAMES:
        put(root / name, 3)
        for index in range(3):
            (root / name / f"{index}.png").rename(root / name / f"{name} {index}.png")
    source = load(root)
    assert sorted(source.classes) == sorted(NAMES)

    input = InputConfig((8, 8), (0.5,) * 3, (0.2,) * 3, "bilinear", 1.0)
    images = Images(source, input, batch_size=4, workers=0)
    said = torch.eye(len(NAMES))[images.labels("test")], images.labels("test")
    write_predictions(tmp_path, "run", images, {"test": said}, Calibration(1.0))
    with (tmp_path / NAME).open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    assert list(map(from_csv, header[4:])) == [f"p_{name}" for name in source.classes]
    assert [from_csv(row[1]) for row in rows] == list(source.test.names)
    assert [from_csv(row[2]) for row in rows] == list(source.classes)
    labels, guesses, classes = read_test(tmp_path / NAME)
    assert (labels, guesses, classes) == ([*range(len(NAMES))],) * 2 + (list(source.classes),)
    assert read_answers(tmp_path / NAME).correct.all()


def test_an_error_about_a_name_with_a_line_break_is_one_line(root):
    put(root / "cat", 3)
    (root / "two\nlines").mkdir()
    with pytest.raises(RegraftError) as info:
        load(root)
    assert explain(info.value).startswith("class folder 'two lines' in")


@pytest.mark.skipif(sys.platform != "linux", reason="the system spells names its way")
def test_one_letter_is_one_however_it_is_written(root):
    composed, decomposed = "caf\u00e9", "cafe\u0301"
    put(root / "train" / composed, 3)
    put(root / "train" / decomposed, 2)
    put(root / "train" / "dog", 3)
    put(root / "val" / decomposed, 1)
    put(root / "test" / composed, 1)
    source = load(root)

    assert source.classes == (composed, "dog")
    assert [split.labels.tolist() for split in splits(source)] == [[0] * 5 + [1] * 3, [0], [0]]
    assert all(path.is_file() for split in splits(source) for path in split.images)


@pytest.mark.skipif(sys.platform != "linux", reason="the system spells names its way")
def test_a_name_that_is_no_text_is_escaped_and_its_file_is_found(root):
    put(root / "dog", 5)
    put(root / os.fsdecode(b"caf\xe9"), 5)
    odd = root / "dog" / os.fsdecode(b"\xff.png")
    (root / "dog" / "0.png").rename(odd)
    source = load(root)

    assert source.classes == (r"caf\udce9", "dog")
    names = [name for split in splits(source) for name in split.names]
    assert r"dog/\udcff.png" in names
    assert odd in [path for split in splits(source) for path in split.images]
    "".join(names).encode()


def test_a_class_may_be_called_train(root):
    for name in ("train", "bus"):
        put(root / name, 5)

    assert load(root).classes == ("bus", "train")


def test_few_images_of_a_folder_keep_their_names(root):
    for name in ("cat", "dog"):
        put(root / name, 10)
    source = load(root, per_class=2)

    assert np.bincount(source.train.labels).tolist() == [2, 2]
    assert [path.relative_to(root).as_posix() for path in source.train.images] == list(
        source.train.names
    )


def test_a_home_folder_may_be_short(root, monkeypatch):
    monkeypatch.setenv("HOME", str(root.parent))
    for name in ("cat", "dog"):
        put(root / name, 5)

    assert len(load("~/pets").train) == 6


def test_a_missing_root_is_named_with_the_nearest_folder(root):
    assert "there is no folder" in one_line(root / "cats")
    assert one_line(root.parent / "pet").endswith("did you mean 'pets'?")
    assert one_line(root.parent / "pest" / "images").endswith("did you mean 'pets'?")


def test_a_root_that_is_a_file_is_an_error(root):
    (root / "a.png").write_bytes(b"")

    assert "is a file" in one_line(root / "a.png")


def test_a_folder_without_images_is_an_error(root):
    assert "holds no images" in one_line(root)
    (root / "cat").mkdir()
    (root / "dog").mkdir()
    assert "holds no images" in one_line(root)


def test_images_without_class_folders_are_an_error(root):
    put(root, 3)
    assert "holds 3 images but no class folders" in one_line(root)


@pytest.mark.parametrize("split", ["train", "val"])
def test_split_folders_without_class_folders_are_an_error(root, split):
    for name in {"train", "val"} - {split}:
        for label in ("cat", "dog"):
            put(root / name / label, 3)
    put(root / split, 3)
    assert f"{split} holds" in one_line(root)
    assert "no class folders" in one_line(root)


def test_one_class_is_an_error_and_a_folder_too_high_is_recognised(root):
    put(root / "cat", 3)
    assert "one class only, 'cat'; give at least two" in one_line(root)
    put(root / "cat" / "inner", 3)
    assert one_line(root).endswith(f"or set data.root={root / 'cat'}")


def test_an_empty_class_folder_is_named(root):
    put(root / "cat", 3)
    (root / "dog").mkdir()
    assert "class folder 'dog'" in one_line(root)


def test_a_class_too_small_for_the_split_is_named(root):
    put(root / "cat", 5)
    put(root / "dog", 1)
    assert "'dog' has 1 image, but the split needs at least 3" in one_line(root)


def test_fractions_that_leave_no_training_images_are_an_error(root):
    for name in ("cat", "dog"):
        put(root / name, 5)
    assert "0.5 + 0.5" in one_line(root, val_fraction=0.5, test_fraction=0.5)


def test_the_training_split_fixes_the_classes(root, caplog):
    for name in ("cat", "dog", "fox"):
        put(root / "train" / name, 5)
    put(root / "test" / "fox", 2)
    source = load(root)
    assert source.test.labels.tolist() == [2, 2]
    assert "test has no images of cat, dog" in caplog.text

    put(root / "test" / "foxx", 2)
    assert one_line(root).endswith("has a class 'foxx' that train lacks; did you mean 'fox'?")


def test_split_folders_must_be_clear(root):
    put(root / "val" / "cat", 3)
    assert "folder 'val' but no 'train'; add" in one_line(root)
    put(root / "cat", 3)
    assert "folder 'val' but no 'train'; move the class folders" in one_line(root)
    put(root / "train" / "cat", 3)
    put(root / "valid" / "cat", 3)
    assert "has both 'val' and 'valid'" in one_line(root)


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_may_not_be_read_is_named(root):
    put(root / "cat", 3)
    (root / "cat").chmod(0)
    assert "cannot be read" in one_line(root)


def damaged(root, name):
    path = root / name
    path.write_bytes(path.read_bytes()[:40])


def test_what_cannot_be_read_is_left_out_by_name_before_anything_is_split_off(root, caplog):
    for name in ("cat", "dog"):
        put(root / name, 12)
    damaged(root, "cat/3.png")
    (root / "dog" / "0.png").write_text("not an image")
    source = load(root, on_error="skip")

    assert {image.name for image in source.skipped} == {"cat/3.png", "dog/0.png"}
    assert all(image.reason for image in source.skipped)
    names = [name for split in splits(source) for name in split.names]
    assert len(names) == 22
    assert not {"cat/3.png", "dog/0.png"} & set(names)
    assert load(root).skipped == ()


def test_a_file_that_was_repaired_is_read_again(root):
    for name in ("cat", "dog"):
        put(root / name, 12)
    whole = (root / "cat" / "3.png").read_bytes()
    damaged(root, "cat/3.png")
    assert len(load(root, on_error="skip").skipped) == 1
    (root / "cat" / "3.png").unlink()
    (root / "cat" / "3.png").write_bytes(whole)
    assert load(root, on_error="skip").skipped == ()


@pytest.mark.parametrize("library", ["pillow", "pillow-heif", "pydicom"])
def test_what_was_found_unreadable_is_asked_again_of_another_library(library):
    assert f"'{library}': " in readable._known.kind


def test_a_class_of_which_nothing_can_be_read_is_an_error(root):
    put(root / "cat", 12)
    put(root / "dog", 3)
    for index in range(3):
        damaged(root, f"dog/{index}.png")
    message = one_line(root, on_error="skip")
    assert "class 'dog'" in message
    assert "has no image that can be read, '0.png' for one" in message


def test_a_link_to_itself_is_no_folder(root):
    for name in ("cat", "dog"):
        put(root / name, 12)
        (root / name / "round").symlink_to("round")
    assert sum(len(split) for split in splits(load(root))) == 24


def test_another_process_need_not_decode_again_to_know_what_cannot_be_read(root, monkeypatch):
    for name in ("cat", "dog"):
        put(root / name, 12)
    damaged(root, "cat/3.png")
    now = time.time_ns() + 3600 * 10**9
    monkeypatch.setattr(facts.time, "time_ns", lambda: now)
    first = readable.unreadable(sorted(root.rglob("*.png")))
    monkeypatch.setattr(readable, "_known", Facts[str](readable._known.kind))  # as it has
    monkeypatch.setattr(readable, "decode", None)
    assert readable.unreadable(sorted(root.rglob("*.png"))) == first
    assert [path.name for path in first] == ["3.png"]


CAT_AND_DOG = ("cat", "dog")


def put_splits(root, folders, classes=CAT_AND_DOG):
    """Folders of class folders, with so many images in each."""
    for folder, count in folders.items():
        for name in classes:
            put(root / folder / name, count)


SPLIT_NAMES = {
    "train": ("Training", "training_set", "seg_train", "train_images", "TRAIN-DATA", "trainSet"),
    "val": ("validation", "Valid", "val_set", "val.images", "Dev Set", "eval"),
    "test": ("Testing", "test_set", "seg_test", "TestImages", "hold-out", "test2017"),
}


@pytest.mark.parametrize("number", range(6))
def test_splits_are_known_by_the_names_that_people_give_them(root, number):
    names = {split: names[number] for split, names in SPLIT_NAMES.items()}
    put_splits(root, dict(zip(names.values(), (3, 1, 2), strict=True)))
    source = load(root)

    assert source.classes == CAT_AND_DOG
    assert [len(split) for split in splits(source)] == [6, 2, 4]
    said = (f"{split} is '{name}'" for split, name in names.items())
    assert source.origin == ", ".join(said)


def test_the_line_about_the_splits_says_where_a_missing_one_comes_from(root, caplog):
    caplog.set_level(logging.INFO)
    put_splits(root, {"Training": 10, "Testing": 3})
    origin = load(root).origin
    assert origin.startswith("train is 'Training', test is 'Testing'; ")
    assert origin.endswith("; 4 images for val split off train by class (split_seed=0)")
    assert f"{root}: {origin}" in caplog.text


def test_splits_may_lie_in_folders_of_the_same_name(root):
    put_splits(root, {"seg_train/seg_train": 5, "seg_test/seg_test": 2, "val/images": 1})
    put(root / "seg_pred" / "seg_pred", 2)
    source = load(root)
    assert source.classes == CAT_AND_DOG
    assert source.origin.startswith("train is 'seg_train/seg_train', val is 'val/images', ")
    assert passed_over(str(root)).folders == ("seg_pred",)


def test_two_folders_of_one_stem_are_the_splits_that_they_name(root):
    put_splits(root, {"chest_xray_train": 5, "chest_xray_test": 2})
    source = load(root)
    assert source.classes == CAT_AND_DOG
    assert len(source.test) == 4


def test_folders_that_look_like_splits_of_the_same_classes_are_a_question(root):
    put_splits(root, {"old_train": 3, "new_test": 3})
    message = one_line(root)
    assert "'new_test' and 'old_train' look like splits; if they are, call the folders" in message
    assert "'test' and 'train', with a folder per class in each" in message


def test_two_parts_of_one_split_are_a_question_and_no_classes(root):
    put_splits(root, {"train_a": 3, "train_b": 3})
    message = one_line(root)
    assert "'train_a' and 'train_b' look like splits; if they are, bring" in message
    assert "together in one folder 'train'; if they are classes, give" in message


def test_a_folder_that_looks_like_the_missing_split_is_a_question(root):
    put_splits(root, {"train": 5, "pets_test": 2})
    assert "'train' and 'pets_test' look like splits" in one_line(root)
    put_splits(root, {"test": 2})
    assert len(load(root).test) == 4


def test_halves_of_a_class_are_no_classes(root):
    for name in ("cat_train", "cat_test", "dog_train", "dog_test"):
        put(root / name, 3)
    assert "'cat_test' and 'cat_train' look like splits" in one_line(root)


@pytest.mark.parametrize(
    "names",
    [
        ("valid", "invalid"),
        ("train", "bus", "test"),
        ("test 1", "test 2", "test 3"),
        ("pretrain", "contest"),
        ("cat_train", "dog_test"),
    ],
)
def test_classes_may_be_called_like_splits(root, names):
    for name in names:
        put(root / name, 5)
    assert set(load(root).classes) == {*names}
    for name in names if "train" not in names else ():
        put(root / name / f"of {name}", 5)
    assert set(load(root).classes) == {*names}


def test_a_test_beside_the_same_classes_without_a_train_is_a_question(root):
    put_splits(root, {"Test": 2, "Übung": 5})
    assert "folder 'Test' but no 'train'; if 'Übung' is that, call it 'train'" in one_line(root)


def test_two_folders_for_one_split_are_a_question_unless_one_has_the_plain_name(root, caplog):
    put_splits(root, {"train": 5, "test_a": 2, "test_images": 1, "testset": 1})
    assert "has both 'test_images' and 'testset', which mean test; keep one" in one_line(root)
    put_splits(root, {"test": 3})
    assert len(load(root).test) == 6
    assert "ignored beside train: test_a, test_images, testset" in caplog.text


def test_an_evaluation_is_val_or_test_whichever_is_missing(root):
    put_splits(root, {"training": 5, "validation": 1, "evaluation": 2})
    assert load(root).origin == "train is 'training', val is 'validation', test is 'evaluation'"


# Files that are not read.


def test_a_picture_is_read_whatever_it_is_called(root):
    put(root / "cat", 3, suffix=".HEIC")
    put(root / "cat", 2, suffix="")
    put(root / "dog", 4, suffix=".jpg.download")
    source = load(root)

    assert sum(map(len, splits(source))) == 9
    assert not source.skipped
    assert not source.left_out


def test_files_that_are_not_read_are_counted_by_suffix_and_litter_apart(root):
    put(root / "cat", 3)
    put(root / "dog", 12)
    for index in range(30):
        (root / "dog" / f"{index}.MP4").write_bytes(b"\0\0\0\x18ftypmp42")
    (root / "cat" / "cat.svg").write_text("<svg/>")
    (root / "cat" / "deeper").mkdir()
    (root / "cat" / "deeper" / "b.pdf").write_bytes(b"%PDF-1.7")
    for name in ("Thumbs.db", ".DS_Store", "._0.png", "0.txt", "1.txt", "desktop.ini"):
        (root / "cat" / name).write_bytes(b"\0")
    source = load(root)

    assert sum(map(len, splits(source))) == 15
    assert source.left_out == (
        "left out 2 of 5 files of class cat: 1 .svg (SVG), 1 .pdf (PDF)",
        "left out 30 of 42 files of class dog: .mp4",
    )
    assert {skip.name: skip.reason for skip in source.skipped} == {
        "cat/cat.svg": "left out: .svg (SVG)",
        "cat/deeper/b.pdf": "left out: .pdf (PDF)",
    } | {f"dog/{index}.MP4": "left out: .mp4" for index in range(30)}
    assert set(source.litter.split(", ")) == {
        "1 ._*",
        "1 .DS_Store",
        "1 Thumbs.db",
        "1 desktop.ini",
        "2 .txt",
    }


def test_pipes_and_sockets_that_are_called_like_images_are_not_waited_for(root):
    put(root / "cat", 4)
    put(root / "dog", 4)
    os.mkfifo(root / "cat" / "pipe.png")
    (root / "cat" / "link.png").symlink_to("pipe.png")
    source = load(root, on_error="skip")

    assert sum(map(len, splits(source))) == 8
    what = ".png (no file, but a pipe, a socket or a device)"
    assert source.left_out == (f"left out 2 of 6 files of class cat: {what}",)


@pytest.mark.parametrize("names", [("İzmir", "izmir"), ("IŞIK", "ışık"), ("a-b", "a\u2011b")])
def test_names_that_differ_in_turkish_case_or_a_hyphen_that_does_not_break_are_alike(root, names):
    for name in (*names, "dog"):
        put(root / name, 4)
    with pytest.raises(RegraftError, match="merge_labels"):
        load(root)


@pytest.mark.parametrize("parts", [("fold_1", "fold_2", "fold_3"), ("part1", "part2")])
def test_parts_of_a_data_set_are_a_question_and_no_classes(root, parts):
    for part in parts:
        put(root / part / "cat", 4)
        put(root / part / "dog", 4)
    with pytest.raises(RegraftError, match="look like parts of one data set"):
        load(root)
    assert load(root, nested=True).classes == tuple(sorted(parts))


@pytest.mark.parametrize("name", ["traning", "train_aug", "tr", "entrenamiento"])
def test_what_may_be_the_train_that_is_missing_is_named(root, name):
    for split in (name, "test"):
        put(root / split / "cat", 4)
        put(root / split / "dog", 4)
    with pytest.raises(RegraftError, match=f"no 'train'; if '{name}' is that, call it 'train'"):
        load(root)


def test_files_of_a_class_are_counted_over_its_splits(root):
    for split in ("train", "val", "test"):
        put(root / split / "cat", 2)
        put(root / split / "dog", 2)
        (root / split / "cat" / "a.mp4").touch()
    assert load(root).left_out == ("left out 3 of 9 files of class cat: .mp4",)


def test_a_picture_that_wants_a_library_is_told_beside_the_class_folders_too(root, monkeypatch):
    put(root / "cat", 4)
    put(root / "dog", 4)
    for name in ("a.heic", "b", "notes", "c.mp4"):
        heic = b"\0\0\0\x1cftypheic\0\0\0\0mif1heic"
        (root / name).write_bytes(heic if name in ("a.heic", "b") else b"\0")
    monkeypatch.setattr(formats, "READ", formats.READ - {"HEIC"})
    monkeypatch.setattr(formats, "EXTENSIONS", formats.EXTENSIONS - {".heic"})
    [line] = load(root).left_out
    assert line.startswith("left out beside the class folders: 1 ")
    assert "1 .heic (install pillow-heif)" in line
    assert "1 no suffix (install pillow-heif)" in line


def test_a_folder_without_images_says_what_it_holds_instead(root):
    for label in ("cat", "dog"):
        (root / label).mkdir()
        for index in range(6):
            (root / label / f"{index}.mp4").touch()
    assert "pets holds no images, but 12 .mp4; give the folder" in one_line(root)
    put(root / "cat", 3)
    assert "'dog' in" in (said := one_line(root))
    assert "holds no images, but 6 .mp4; add some or delete it" in said


def test_a_link_to_a_picture_without_a_suffix_leads_out_of_the_folder_too(root):
    put(root / "cat", 3)
    put(root / "dog", 3)
    put(root.parent / "elsewhere", 1, suffix="")
    (root / "cat" / "link").symlink_to(root.parent / "elsewhere" / "0")
    assert "leads out of" in one_line(root)
    assert sum(map(len, splits(load(root, follow_links=True)))) == 7


def test_class_folders_that_look_alike_are_a_question(root, caplog):
    put(root / "train" / "_Cat", 3)
    put(root / "train" / "ant", 5)
    put(root / "train" / "dog", 5)
    put(root / "test" / "dog\u200b", 1)
    message = one_line(root)
    assert "class folders: 'dog' (5 images) and 'dog\\u200b' (1 images) differ in case" in message

    put(root / "train" / "cat", 5)
    source = load(root, merge_labels=True, val_fraction=0.1)
    assert source.classes == ("ant", "cat", "dog")
    assert source.test.labels.tolist() == [2]
    assert source.merged == {"cat": ("_Cat",), "dog": ("dog\u200b",)}
    assert "are one class (data.merge_labels=true): '_Cat' as 'cat'; 'dog" in caplog.text
    assert source.remarks
    assert "has a class 'dog\u200b' that train lacks" in one_line(root, merge_labels=False)


def test_letters_may_be_classes_of_their_own(root):
    for name in ("a", "A", "b"):
        put(root / name, 5)
    assert "'A' (5 images) and 'a' (5 images)" in one_line(root)
    assert load(root, merge_labels=False).classes == ("A", "a", "b")


def test_a_folder_of_data_sets_is_a_question_that_names_the_level(root):
    put_splits(root, {"pets": 5})
    put_splits(root, {"flowers": 5}, ("rose", "tulip"))
    message = one_line(root)
    assert "'flowers' holds 'rose', 'tulip', 'pets' holds 'cat', 'dog'; if those" in message
    assert f"data.root={root / 'flowers'}; if 'flowers' is a class, set data.nested=true" in message
    assert load(root, nested=True).classes == ("flowers", "pets")
    assert load(root / "pets").classes == CAT_AND_DOG


def test_a_folder_of_data_sets_with_splits_is_a_question(root):
    put_splits(root, {"pets/train": 3, "pets/test": 1})
    put(root / "other" / "x", 3)
    message = one_line(root)
    assert "'pets' holds 'test' and 'train'; it seems to be a data set of its own" in message
    assert f"data.root={root / 'pets'}" in message


def test_splits_in_class_folders_are_a_question(root):
    for name in CAT_AND_DOG:
        put_splits(root, {name: 3}, ("Training", "Testing"))
    message = one_line(root)
    assert "'cat' holds 'Testing' and 'Training'; make 'Training/cat' of 'cat/Training'" in message
    assert load(root, nested=True).classes == CAT_AND_DOG


def test_a_train_folder_of_data_sets_is_a_question(root):
    put_splits(root / "train", {"pets": 5})
    put_splits(root / "train", {"flowers": 5}, ("rose", "tulip"))
    assert "'pets' holds 'cat', 'dog'" in one_line(root)


def test_the_same_folders_in_every_class_folder_are_said(root):
    for name in CAT_AND_DOG:
        put_splits(root, {name: 3}, ("indoors", "outdoors"))
    source = load(root)
    assert source.classes == CAT_AND_DOG
    assert (
        "every class folder holds 'indoors', 'outdoors', whose images are taken"
        in (source.remarks[0])
    )
    assert not load(root, nested=True).remarks
    put(root / "cat", 1)
    assert not load(root).remarks


def test_a_val_of_its_own_judges_where_there_is_no_test(root):
    put_splits(root, {"train": 10, "valid": 3})
    source = load(root, judge_by="val")
    assert [len(split) for split in splits(source)] == [20, 6, 0]
    assert source.origin == (
        "train is 'train', val is 'valid'; no test, so val judges, which also chooses the epoch"
    )
    assert [len(split) for split in splits(load(root, judge_by="test"))] == [16, 6, 4]
    assert [len(split) for split in splits(load(root, judge_by="val", fold=0))] == [16, 6, 4]


def test_a_fraction_of_0_leaves_a_split_out(root):
    put_splits(root, {"train": 10, "test": 3})
    source = load(root, val_fraction=0.0)
    assert [len(split) for split in splits(source)] == [20, 0, 6]
    assert source.val.images == ()
    assert source.origin.endswith("no val, so the weights of the last epoch are taken")


def test_a_test_of_images_without_labels_says_so(root):
    put_splits(root, {"train": 5})
    put(root / "test", 6)
    message = one_line(root)
    assert "test holds 6 images but no class folders, so nothing tells what they show" in message
    assert message.endswith("move them away: `regraft predict` takes them")
