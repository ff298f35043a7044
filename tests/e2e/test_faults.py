"""Jobs on machines that fail: disks that are full, read-only or gone, processes that are killed."""

import gc
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from jobs import run_job
from PIL import Image

from regraft import logger, wandb_service
from regraft.complaints import explain
from regraft.data import images as feeding
from regraft.errors import RegraftError
from regraft.progress import History

pytestmark = pytest.mark.slow
QUICK = ("logger=none", "data.per_class=2", "trainer.max_epochs=2")


def result(folder):
    return json.loads((folder / "result.json").read_text())


@pytest.fixture
def on_a_disk(repository, tmp_path):
    """Run train.py with a disk of its own mounted at `disk`, then a command; where one may."""
    inside = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
    (tmp_path / "disk").mkdir()
    probe = [*inside, "mount -t tmpfs -o size=1m tmpfs disk"]
    if not shutil.which("unshare") or subprocess.run(probe, cwd=tmp_path).returncode:
        pytest.skip("nothing can be mounted here")

    def run(options, words, then="true"):
        job = f"{sys.executable} {repository / 'train.py'} {words}"
        script = f"mount -t tmpfs -o {options} tmpfs disk; {job}; code=$?; {then}; exit $code"
        return subprocess.run([*inside, script], cwd=tmp_path, capture_output=True, text=True)

    return run


def test_a_full_disk_is_one_line_and_the_result_says_it(on_a_disk):
    words = "hydra.run.dir=disk/run logger=none data.per_class=5 trainer.max_epochs=2"
    done = on_a_disk("size=32k", words, "cat disk/run/result.json; ls -A disk/run")
    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert line.startswith("error: ")
    assert "/disk/run/metrics.csv: the disk is full; free space" in line
    assert line.endswith("hydra.run.dir=<folder>")
    found, end = json.JSONDecoder().raw_decode(done.stdout[done.stdout.index("\n{\n") + 1 :])
    assert found["status"] == "failed"
    assert f"error: {found['error']}" == line
    assert ".result.json" not in done.stdout[end:]  # nothing unfinished is left


def test_jobs_of_a_sweep_on_a_full_disk_stop_nobody(on_a_disk):
    words = "-m hydra.sweep.dir=disk/sweep logger=none data.per_class=2 trainer.max_epochs=1"
    words += " head=linear,mlp"
    done = on_a_disk("size=1200k", words, "cat disk/sweep/sweep.csv")
    assert done.returncode == 1
    assert "Traceback" not in done.stdout + done.stderr
    assert "/checkpoints/best.ckpt: the disk is full; " in done.stderr
    rows = [line for line in done.stdout.splitlines() if line.startswith(("0,", "1,"))]
    assert len(rows) == 2, done.stdout
    assert "failed" in rows[1]


def test_a_read_only_folder_is_one_line(on_a_disk):
    done = on_a_disk("ro", "hydra.run.dir=disk/run")
    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert "disk/run: Read-only file system; choose another folder with hydra.run.dir=" in line


def test_a_cache_that_cannot_be_written_is_left_out(on_a_disk, monkeypatch):
    monkeypatch.setenv("REGRAFT_CACHE", "disk")
    done = on_a_disk("ro", "hydra.run.dir=run logger=none data.per_class=2 trainer.max_epochs=1")
    assert done.returncode == 0, done.stderr
    assert "not writable; set REGRAFT_CACHE to another folder" in done.stdout


@pytest.mark.parametrize(
    ("folder", "said"),
    [
        ("file", "a file is where a folder should be; choose another folder with hydra.run.dir="),
        ("file/run", "a file is where a folder should be; choose another"),
        ("x" * 300, "the name is too long; choose a shorter hydra.run.dir="),
    ],
    ids=["a file", "below a file", "long"],
)
def test_a_folder_that_cannot_be_made_is_one_line(folder, said, tmp_path, train):
    (tmp_path / "file").touch()
    done = train(f"hydra.run.dir={folder}", *QUICK)
    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert said in line


def after_an_epoch(monkeypatch, do):
    end = History.on_train_epoch_end

    def and_then(self, *arguments):
        end(self, *arguments)
        do()

    monkeypatch.setattr(History, "on_train_epoch_end", and_then)


def test_a_runs_folder_that_vanishes_is_said(tmp_path, monkeypatch):
    after_an_epoch(monkeypatch, lambda: shutil.rmtree(tmp_path / "run"))
    words = ["logger=none", "data.per_class=2", "trainer.max_epochs=3"]
    with pytest.raises(RegraftError, match=r"it is gone; it was moved or deleted.*; start again"):
        run_job(tmp_path / "run", *words, "callbacks.checkpoint=null")


@pytest.fixture
def pets(tmp_path):
    for name in ("cat", "dog"):
        (tmp_path / "pets" / name).mkdir(parents=True)
        for index in range(10):
            picture = Image.new("RGB", (40, 30), (index * 20, 80, 120))
            picture.save(tmp_path / "pets" / name / f"{index}.png")
    return tmp_path / "pets"


@pytest.mark.parametrize("on_error", ["fail", "skip"])
@pytest.mark.parametrize("what", ["an image", "the folder"])
def test_images_that_vanish_between_epochs_are_named(what, on_error, pets, tmp_path, monkeypatch):
    def vanish():
        if what == "the folder":
            shutil.rmtree(pets, ignore_errors=True)
        else:
            for path in (pets / "cat").glob("*.png"):
                path.unlink()

    after_an_epoch(monkeypatch, vanish)
    words = ["data=image_folder", f"data.root={pets}", f"data.on_error={on_error}", "logger=none"]
    words += ["strategy=finetune", "loader.decoded_cache=false", "trainer.max_epochs=3"]
    with pytest.raises(RegraftError, match=r"\.png': no such file") as found:
        run_job(tmp_path / "run", *words)
    assert str(found.value).endswith("leave such files out from the start with data.on_error=skip")
    if what == "the folder":
        assert f"'{pets}' is gone, too: moved, or unmounted" in str(found.value)
    kept = result(tmp_path / "run")
    assert kept["status"] == "failed"
    assert kept["checkpoint"] == "checkpoints/best.ckpt"


def test_a_worker_that_is_killed_is_explained(pets, tmp_path, monkeypatch):
    monkeypatch.setattr(feeding, "read_image", lambda _: os.kill(os.getpid(), signal.SIGKILL))
    words = ["data=image_folder", f"data.root={pets}", "logger=none", "loader.workers=1"]
    with pytest.raises(RuntimeError) as found:
        run_job(tmp_path / "run", *words, "strategy=finetune", "loader.decoded_cache=false")
    assert "a process that reads images ended (pid " in explain(found.value)
    assert result(tmp_path / "run")["error"].endswith("or none with loader.workers=0")


def wandbs_own_processes():
    """Those that this process has started."""
    found = []
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            text = status.read_text()
        except OSError:
            continue
        if "Name:\twandb-core" in text and f"PPid:\t{os.getpid()}\n" in text:
            found.append(int(status.parent.name))
    return found


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="looks for processes in /proc")
def test_wandb_that_is_killed_ends_no_training(tmp_path, monkeypatch, caplog):
    killed = []

    def kill():
        for process in wandbs_own_processes() if not killed else ():
            os.kill(process, signal.SIGKILL)
            killed.append(process)

    after_an_epoch(monkeypatch, kill)
    words = ["data.per_class=5", "trainer.max_epochs=40"]
    run_job(tmp_path / "one", *words)
    assert killed
    found = result(tmp_path / "one")
    assert found["status"] == "finished"
    assert found["wandb"]["problem"].endswith("the training goes on without it")
    warnings = [one for one in caplog.records if one.levelname == "WARNING"]
    assert len([one for one in warnings if "Weights & Biases" in one.message]) == 1
    # The next job of the process has a W&B run again.
    run_job(tmp_path / "two", "data.per_class=2", "trainer.max_epochs=1")
    assert "problem" not in result(tmp_path / "two")["wandb"]
    for one in gc.get_objects():  # W&B waits for none that was killed, and Python complains
        if type(one) is subprocess.Popen:
            one.poll()


class Silent(BaseHTTPRequestHandler):
    """A server that takes every request and never answers, until it is told to stop."""

    stop = threading.Event()

    def wait(self):
        self.stop.wait(60)

    do_HEAD = do_GET = do_POST = wait  # noqa: N815

    def log_message(self, *_):
        pass


class Failing(Silent):
    """A server that answers 500."""

    def fail(self):
        self.send_response(500)
        self.end_headers()

    do_HEAD = do_GET = do_POST = fail  # noqa: N815


@pytest.mark.parametrize("kind", [Silent, Failing])
def test_a_server_that_does_not_answer_costs_seconds(kind, tmp_path, monkeypatch, caplog):
    server = ThreadingHTTPServer(("127.0.0.1", 0), kind)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("WANDB_MODE", "online")
    monkeypatch.setenv("WANDB_API_KEY", "a" * 40)
    monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setattr(wandb_service, "REACH_S", 1)
    monkeypatch.setattr(wandb_service, "STARTED_S", 3)
    try:
        logger.wandb.teardown()  # what it knows of servers
        run_job(tmp_path, "data.per_class=2", "trainer.max_epochs=1")
    finally:
        kind.stop.set()
        server.shutdown()
        server.server_close()
        logger.wandb.teardown()
    found = result(tmp_path)
    assert found["status"] == "finished"
    assert found["wandb"]["problem"].startswith("not reached, logging offline")
    assert found["cost"]["wall_s"] < 30
    assert caplog.text.count("not reached, logging offline") == 1
