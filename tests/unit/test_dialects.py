"""What people type from other tools: the suggestion is a line that works."""

import re
import shlex

import pytest

from regraft import dialects
from regraft.command import overrides_first
from regraft.errors import RegraftError
from regraft.searchpath import entries
from regraft.validate.tree import Tree

TREE = Tree(entries())
TYPED = {
    "epochs=10": "trainer.max_epochs=10",
    "lr=0.1": "optimizer.lr=0.1",
    "batch_size=32": "loader.batch_size=32",
    "image_size=64": "backbone.size=64",
    "imgsz=64": "backbone.size=64",
    "img_size=64": "backbone.size=64",
    "augmentation=strong": "augment=strong",
    "augmentation=true": "augment=light",
    "augmentation=false": "augment=none",
    "model=resnet50": "backbone=resnet50",
    "model=resnet34": "backbone=timm backbone.name=resnet34",
    "model=nobody": "backbone=<option>",
    "fp16=true": "trainer=mixed",
    "amp=False": "trainer=default",
    "fast_dev_run=true": "debug=fast",
    "gpus=2": "trainer.devices=2",
    "gpus=0": "trainer.accelerator=cpu",
    "gpus=-1": "trainer.devices=auto",
    "device=cuda:1": "trainer.accelerator=gpu trainer.devices=[1]",
    "weights=imagenet": "backbone.weights=pretrained",
    "weights=best.pth": "backbone.weights=best.pth",
    "pretrained=true": "backbone.weights=pretrained",
    "pretrained=": "backbone.weights=pretrained",
    "pretrained=false": "backbone.weights=random",
    "workers=4": "loader.workers=4",
    "num_workers=4": "loader.workers=4",
    "data_dir=/pets": "data=image_folder data.root=/pets",
    "dataset=cifar10": "data=cifar10",
    "dropout=0.3": "head.dropout=0.3",
    "patience=3": "callbacks=early_stopping callbacks.early_stopping.patience=3",
    "wd=0.1": "optimizer.weight_decay=0.1",
    "weight_decay=0.1": "optimizer.weight_decay=0.1",
    "precision=16": "trainer.precision=16-mixed",
}
SHOWN = re.compile(r"did you mean '(.+?)'\?")


@pytest.mark.parametrize("typed", TYPED)
def test_a_word_of_another_tool_is_said_in_ours(typed):
    name, _, value = typed.partition("=")
    assert dialects.here(name, value) == TYPED[typed]


@pytest.mark.parametrize("typed", TYPED)
def test_flags_of_other_tools_too(typed):
    name, _, value = typed.partition("=")
    dashed = name.replace("_", "-")
    for words in ([f"--{typed}"], [f"--{name}", value], ["seed=1", f"--{dashed}", value, "-m"]):
        with pytest.raises(RegraftError) as caught:
            overrides_first(words)
        assert SHOWN.findall(str(caught.value)) == [TYPED[typed]]


def test_flags_are_settings_without_dashes():
    for words, shown in {
        "--trainer.max_epochs 3": "trainer.max_epochs=3",
        "--strategy=finetune": "strategy=finetune",
        "--freeze.stages 2 seed=1": "freeze.stages=2",
        "--fast_dev_run": "debug=fast",
        "seed=0 --epochs": "trainer.max_epochs=<value>",
        "--compile": "compile=<value>",
        "--amp --epochs 3": "trainer=mixed",
        "--pretrained --epochs 3": "backbone.weights=pretrained",
        "-b 32": "loader.batch_size=32",
    }.items():
        with pytest.raises(RegraftError) as caught:
            overrides_first(words.split())
        assert SHOWN.findall(str(caught.value)) == [shown]


def suggestions():
    """One line of each kind that can be suggested, for every name in the tables."""
    values = {"{}": "3", "optimizer={}": "sgd", "scheduler={}": "onecycle", "head.dropout={}": "0"}
    values["backbone.size={}"] = "32"
    lines = [line.format(values.get(line, "3")) for line in dialects.SETTINGS]
    lines += [line for pair in dialects.SWITCHES for line in pair if line]
    lines += [TYPED[typed] for typed in TYPED if "<" not in TYPED[typed]]
    lines += [f"trainer.precision={precision}" for precision in dialects.PRECISIONS.values()]
    return sorted({*lines, dialects.data("pets.csv"), dialects.data("./pets")})


@pytest.mark.parametrize("line", suggestions())
def test_every_suggestion_is_a_line_that_works(line):
    words = [word for word in shlex.split(line) if not word.startswith("hydra.")]
    assert not TREE.look(*words).faults


def test_each_name_is_said_in_one_way():
    tables = [dialects.SETTINGS, dialects.SWITCHES, dialects._OTHERS]
    names = [name for table in tables for said in table.values() for name in said.split()]
    assert len(names) == len({*names})


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        ("epochs=10", "trainer.max_epochs=10"),
        ("+epochs=10", "trainer.max_epochs=10"),
        ("+train.num_epochs=10", "trainer.max_epochs=10"),
        ("++optimizer.learning_rate=0.1", "optimizer.lr=0.1"),
        ("-m model=resnet34,resnet50", "backbone=timm backbone.name=resnet34"),
        ("gpus=0,1", "trainer.devices=[0,1]"),
        ("data=./pets", "data=image_folder data.root=./pets"),
        ("data=/pets/train", "data=image_folder data.root=/pets/train"),
        ("data=pets.csv", "data=manifest data.path=pets.csv"),
        ("backbone=resnet34", "backbone=timm backbone.name=resnet34"),
        ("backbone=resnt50", "resnet50"),
        ("--lr 0.1 seed=3", "optimizer.lr=0.1"),
    ],
)
def test_the_line_that_a_person_reads(words, shown, train, tmp_path):
    done = train(*words.split())
    [line] = done.stderr.splitlines()
    assert done.returncode == 1
    assert SHOWN.findall(line) == [shown]
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize("word", ["pets", "./pets", "pets.csv"])
def test_a_bare_word_that_is_a_folder_or_a_table_is_data(word, train, tmp_path):
    (tmp_path / "pets").mkdir()
    (tmp_path / "pets.csv").touch()
    [line] = train(word).stderr.splitlines()
    assert SHOWN.findall(line) == [dialects.data(word) or f"data=image_folder data.root={word}"]


def test_a_key_of_ours_with_several_values_is_not_another_tools(train):
    [line] = train("optimizer.lr=0.1,0.2").stderr.splitlines()
    assert line == "error: optimizer.lr=0.1,0.2: several values make a sweep: add -m"


def test_a_folder_here_is_data(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert dialects.data("pets") is None
    assert dialects.data("") is None  # which is this folder, for a path
    (tmp_path / "pets").mkdir()
    assert dialects.data("pets") == "data=image_folder data.root=pets"
