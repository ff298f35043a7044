"""What people type wrong ends in one line and an exit code that is not zero; nothing is trained."""

import pytest
import torch
from pictures import folder_of_images

WRONG = {
    "unknown option": (["backbone=resnet5"], "did you mean 'resnet50'"),
    "unknown group": (["backbon=resnet18"], "did you mean 'backbone'"),
    "unknown key": (["optimizer.lrr=3"], "did you mean 'optimizer.lr'"),
    "key of another option": (
        ["freeze.stages=2"],
        "freeze.stages: no such key in what is chosen; it belongs to freeze=first",
    ),
    "key in the wrong place": (["data.batch_size=3"], "did you mean 'loader.batch_size=3'"),
    "option in a list": (
        ["-m", "strategy=[finetune,scratch]"],
        "strategy=[finetune,scratch]: an option is one word, and several values without brackets "
        "are a sweep: -m strategy=finetune,scratch",
    ),
    "all options": (  # which another group has: the word that was typed is to blame, not a file
        ["-m", "strategy=all"],
        "error: strategy=all: no such option; a sweep over all of them is -m 'strategy=glob(*)'",
    ),
    "several options without -m": (
        ["strategy=finetune,scratch"],
        "strategy=finetune,scratch: several values make a sweep: add -m",
    ),
    "not key=value": (["strategy"], "not of the form key=value"),
    # What is found inside a job is tested in test_experiment.py; these show the way out of it.
    "wrong type": (["optimizer.lr=abc"], "optimizer.lr=abc: must be a number"),
    "unknown flag": (["seed=0", "--max-epochs", "3"], "--max-epochs: no such flag; settings are"),
    "wrong word of a flag": (["--cfg", "jobs"], "--cfg/-c: invalid choice: 'jobs'"),
    "wrong type of Hydra's own": (
        ["-m", "seed=0,1", "hydra/launcher=joblib", "hydra.launcher.n_jobs=two"],
        "hydra.launcher.n_jobs=two: must be an integer",
    ),
    "sweep without -m": (["sweep=quadrants"], "sweep=quadrants is a sweep: add -m to the command"),
    "head does not fit": (
        ["backbone=timm", "backbone.name=test_vit", "backbone.weights=random", "head=conv_mlp"],
        "head=conv_mlp needs one feature map, but this backbone ends in tokens or in several ",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_word_is_one_line(name, train):
    words, message = WRONG[name]
    done = train(*words)

    assert done.returncode == 1
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("error: ")
    assert message in lines[0]


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ({}, "error: {root} holds no images; give the folder of class folders"),
        ({"cat": 9}, "error: {root} has one class only, 'cat'; give at least two"),
        (
            {"cat": 9, "dog": 1},
            "error: class 'dog' has 1 image, but the split needs at least 3 per class; "
            "add images or remove the class",
        ),
        (
            {"cat": 9, "dog": 0},
            "error: class folder 'dog' in {root} holds no images; add some or delete it",
        ),
    ],
    ids=["no folder", "one class", "one image of a class", "no image of a class"],
)
def test_a_folder_that_cannot_be_used_is_one_line(counts, message, tmp_path, train):
    root = tmp_path / "images"
    root.mkdir()
    folder_of_images(root, **counts)
    done = train("data=image_folder", f"data.root={root}")

    assert done.returncode == 1
    assert done.stderr.strip() == message.format(root=root)


def test_weights_of_another_network_do_not_fit(tmp_path, train):
    torch.save({"layer1.weight": torch.zeros(2)}, tmp_path / "other.pth")
    done = train(f"backbone.weights={tmp_path}/other.pth")
    assert done.returncode == 1
    [line] = done.stderr.strip().splitlines()
    assert f"backbone.weights={tmp_path}/other.pth: does not fit the backbone: " in line


def test_a_traceback_only_on_request(train):
    plain = train("freeze=first", "freeze.stages=9")
    asked = train("freeze=first", "freeze.stages=9", "debug=on")
    assert "Traceback" not in plain.stderr
    assert "Traceback" in asked.stderr
    assert "the backbone has 5 stages" in asked.stderr.splitlines()[-1]


def test_help_lists_groups_options_and_commands(train):
    done = train("--help")
    for text in ("strategy: auto, collect, feature_extraction", "-m sweep=quadrants", "--cfg job"):
        assert text in done.stdout
    assert (done.returncode, done.stderr) == (0, "")


def test_completion_offers_options(train):
    line = "train.py strategy=fi"
    done = train("-sc", "query=bash", COMP_LINE=line, COMP_POINT=str(len(line)))
    assert "strategy=finetune" in done.stdout
