"""What a job meets that cannot be used or has to be hidden, and what it leaves behind."""

import json

import wandb_file
from pictures import folder_of_images
from runs import TINY, filled

QUICK = ["backbone.size=32", "trainer.max_epochs=1", "logger=none"]


def test_an_image_that_cannot_be_read_is_named(tmp_path, train):
    root = folder_of_images(tmp_path / "images", cat=12, dog=12)
    broken = root / "cat" / "3.png"
    broken.write_bytes(b"this is text")
    done = train("data=image_folder", f"data.root={root}", *QUICK)
    assert done.returncode == 1
    [line] = done.stderr.strip().splitlines()
    assert line.startswith(f"error: '{broken}': not a readable image")
    assert line.endswith("leave such files out from the start with data.on_error=skip")


def test_images_that_cannot_be_read_can_be_left_out(tmp_path, train):
    root = folder_of_images(tmp_path / "images", cat=12, dog=12)
    (root / "cat" / "3.png").write_bytes(b"this is text")
    done = train("data=image_folder", f"data.root={root}", "data.on_error=skip", *QUICK)
    assert done.returncode == 0, done.stderr
    [run] = tmp_path.glob("outputs/runs/*/*")
    [head, row] = (run / "skipped.csv").read_text().splitlines()
    assert head == "image,reason"
    assert row.startswith("cat/3.png,")
    assert json.loads((run / "result.json").read_text())["data"]["skipped"] == 1
    assert "1 image cannot be read and left out: " in done.stdout + done.stderr


def test_files_that_are_no_images_to_us_are_counted_and_listed(tmp_path, train):
    root = folder_of_images(tmp_path / "images", cat=12, dog=12)
    for index in range(30):
        (root / "cat" / f"{index}.MOV").write_bytes(b"\0\0\0\x14ftypqt  ")
    (root / "dog" / "notes.txt").touch()
    done = train("data=image_folder", f"data.root={root}", *QUICK)
    assert done.returncode == 0, done.stderr
    [run] = tmp_path.glob("outputs/runs/*/*")
    log = (run / "train.log").read_text()
    assert "left out 30 of 42 files of class cat: .mov" in log
    assert "beside the images lie: 1 .txt" in log
    assert "left out 30 of 42 files of class cat: .mov" in done.stdout + done.stderr
    assert len((run / "skipped.csv").read_text().splitlines()) == 31


def test_a_librarys_warning_is_a_line_of_the_log(finished_run):
    done = finished_run(*TINY, "trainer.precision=16-mixed", "trainer.accelerator=cpu")
    [line] = done.stderr.splitlines()
    assert line.startswith("WARNING: You passed `Trainer(accelerator='cpu', precision='16-mixed')`")
    assert "bf16-mixed" in (done.folder / "train.log").read_text()


SECRETS = ["hunter2hunter2", "swordfish", "correct-horse-battery"]


def test_secrets_are_in_nothing_that_is_kept_or_shown(tmp_path, train, monkeypatch):
    monkeypatch.setenv("OWN_API_KEY", SECRETS[2])
    tags = f'tags=["token={SECRETS[0]}","https://me:{SECRETS[1]}@host/x",{SECRETS[2]}]'
    words = [*map(filled, TINY)]
    done = train("-m", *words, "logger=wandb", tags, "freeze=first", "freeze.stages=2,9")
    assert done.returncode == 1
    assert "the backbone has 5 stages" in done.stderr
    [run] = tmp_path.glob("outputs/sweeps/*/*/0")
    assert wandb_file.read(run)["exit_code"] == 0  # it has been written to its end
    shown = (done.stdout + done.stderr).encode()
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    files = [p for p in files if ".hydra" not in p.parts and p.name != "multirun.yaml"]  # Hydra's
    assert {"result.json", "config.yaml", "train.log", "sweep.csv"} <= {path.name for path in files}
    for content in (shown, *(path.read_bytes() for path in files)):
        assert not [secret for secret in SECRETS if secret.encode() in content]
    assert (
        'tags=["token=***","https://***@host/x",***]'
        in (json.loads((run / "result.json").read_text())["overrides"])
    )
