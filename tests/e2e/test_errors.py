"""What people type wrong ends in one line, in seconds, with an exit code that is not zero."""

import json
import sys

import pytest
import wandb_file
from PIL import Image

pytestmark = pytest.mark.slow

WRONG = {
    "unknown option": (["backbone=resnet5"], "did you mean 'resnet50'"),
    "unknown group": (["backbon=resnet18"], "did you mean 'backbone'"),
    "unknown key": (["optimizer.lrr=3"], "did you mean 'optimizer.lr'"),
    "key of another option": (
        ["freeze.stages=2"],
        "freeze.stages: no such key in what is chosen; it belongs to freeze=first",
    ),
    "key in the wrong place": (["data.batch_size=3"], "did you mean 'loader.batch_size'"),
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
        "head=conv_mlp needs a feature map, but this backbone ends in tokens; use head=mlp or",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_word_is_one_line(name, train):
    words, message = WRONG[name]
    done = train(*words, timeout=90)

    assert done.returncode == 1
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("error: ")
    assert message in lines[0]


def folder_of_images(root, **counts):
    for name, count in counts.items():
        (root / name).mkdir(parents=True)
        for index in range(count):
            Image.new("RGB", (40, 30), (index * 9 % 255, 80, 120)).save(
                root / name / f"{index}.png"
            )
    return root


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
    import torch

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


def test_a_failed_job_leaves_a_result_and_a_failed_run(tmp_path, train):
    train("freeze=first", "freeze.stages=9")
    [run] = tmp_path.glob("outputs/runs/*/*")
    result = json.loads((run / "result.json").read_text())

    assert result["status"] == "failed"
    assert "the backbone has 5 stages" in result["error"]
    assert result["cost"]["wall_s"] > 0
    assert wandb_file.read(run)["exit_code"] == 1
    assert "Traceback" in (run / "train.log").read_text()


def test_an_image_that_cannot_be_read_is_named(tmp_path, train):
    root = folder_of_images(tmp_path / "images", cat=12, dog=12)
    broken = root / "cat" / "3.png"
    broken.write_bytes(b"this is text")
    done = train("data=image_folder", f"data.root={root}", "logger=none")
    assert done.returncode == 1
    [line] = done.stderr.strip().splitlines()
    assert line.startswith(f"error: '{broken}': not a readable image")
    assert line.endswith("leave such files out from the start with data.on_error=skip")


def test_images_that_cannot_be_read_can_be_left_out(tmp_path, train):
    root = folder_of_images(tmp_path / "images", cat=12, dog=12)
    (root / "cat" / "3.png").write_bytes(b"this is text")
    words = ["data=image_folder", f"data.root={root}", "data.on_error=skip", "logger=none"]
    done = train(*words, "trainer.max_epochs=1")
    assert done.returncode == 0, done.stderr
    [run] = tmp_path.glob("outputs/runs/*/*")
    [head, row] = (run / "skipped.csv").read_text().splitlines()
    assert head == "image,reason"
    assert row.startswith("cat/3.png,")
    assert json.loads((run / "result.json").read_text())["data"]["skipped"] == 1
    assert "1 image cannot be read and left out: " in done.stdout + done.stderr


def test_a_librarys_warning_is_a_line_of_the_log(tmp_path, train):
    words = ["trainer.precision=16-mixed", "trainer.accelerator=cpu", "data.per_class=2"]
    done = train(*words, "trainer.max_epochs=1", "logger=none")
    [line] = done.stderr.splitlines()
    assert line.startswith("WARNING: You passed `Trainer(accelerator='cpu', precision='16-mixed')`")
    [log] = tmp_path.glob("outputs/runs/*/*/train.log")
    assert "bf16-mixed" in log.read_text()


def test_a_plain_folder_of_images_trains(tmp_path, train):
    root = folder_of_images(tmp_path / "images", cat=12, dog=12)
    words = ["data=image_folder", f"data.root={root}", "strategy=partial", "trainer.max_epochs=1"]
    done = train(*words, "logger=none")
    assert done.returncode == 0, done.stderr


QUESTIONS = [
    *("--help", "--hydra-help", "--version", "--cfg=job", "--cfg=job --package=optimizer"),
    *("--cfg=job --resolve", "--cfg=all --resolve", "--info=searchpath", "--info=defaults-tree"),
]


@pytest.mark.parametrize("words", QUESTIONS)
def test_questions_are_answered_without_importing_torch(words, repository, tmp_path):
    import subprocess

    code = (
        "import runpy, sys\n"
        f"sys.argv = ['train.py', *{words.split()!r}]\n"
        f"try: runpy.run_path({str(repository / 'train.py')!r}, run_name='__main__')\n"
        "except SystemExit as stop: code = stop.code\n"
        "heavy = {'torch', 'pytorch_lightning', 'timm', 'wandb', 'numpy'} & set(sys.modules)\n"
        "print('heavy:', sorted(heavy)); sys.exit(code)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert "heavy: []" in done.stdout
    assert not [*tmp_path.iterdir()]


def test_help_lists_groups_options_and_commands(train):
    done = train("--help")
    for text in ("strategy: auto, collect, feature_extraction", "-m sweep=quadrants", "--cfg job"):
        assert text in done.stdout


def test_completion_offers_options(repository, tmp_path):
    import os
    import subprocess

    line = "train.py strategy=fi"
    environment = {**os.environ, "COMP_LINE": line, "COMP_POINT": str(len(line))}
    done = subprocess.run(
        [sys.executable, str(repository / "train.py"), "-sc", "query=bash"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=environment,
    )
    assert "strategy=finetune" in done.stdout


SECRETS = ["hunter2hunter2", "swordfish", "correct-horse-battery"]


def test_secrets_are_in_nothing_that_is_kept_or_shown(tmp_path, train, monkeypatch):
    monkeypatch.setenv("OWN_API_KEY", SECRETS[2])
    tags = f'tags=["token={SECRETS[0]}","https://me:{SECRETS[1]}@host/x",{SECRETS[2]}]'
    done = train("-m", tags, "data.per_class=2", "trainer.max_epochs=1", "head.hidden=8,0")
    assert done.returncode == 1
    assert "head.hidden=0: must be greater than 0" in done.stderr
    shown = (done.stdout + done.stderr).encode()
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    files = [p for p in files if ".hydra" not in p.parts and p.name != "multirun.yaml"]  # Hydra's
    assert {"result.json", "config.yaml", "train.log", "sweep.csv"} <= {path.name for path in files}
    for content in (shown, *(path.read_bytes() for path in files)):
        assert not [secret for secret in SECRETS if secret.encode() in content]
    [run] = tmp_path.glob("outputs/sweeps/*/*/0")
    assert json.loads((run / "result.json").read_text())["overrides"][0] == (
        'tags=["token=***","https://***@host/x",***]'
    )
