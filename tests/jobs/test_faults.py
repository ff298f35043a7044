"""Jobs whose files, folders, processes or servers go away while they train."""

import gc
import json
import os
import shutil
import signal
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest
from jobs import run_job
from pictures import folder_of_images
from runs import TINY

from regraft import logger, wandb_service
from regraft.complaints import explain
from regraft.data import images as feeding
from regraft.errors import RegraftError
from regraft.progress import History

PATIENCE_S = 60  # of a server whose answer nobody should wait for
LOGGED = [*TINY, "logger=wandb"]
READING = [*TINY, "strategy=finetune", "loader.decoded_cache=false"]  # the files in every epoch


def result(folder):
    return json.loads((folder / "result.json").read_text())


def after_an_epoch(monkeypatch, do):
    end = History.on_train_epoch_end

    def and_then(self, *arguments):
        end(self, *arguments)
        do()

    monkeypatch.setattr(History, "on_train_epoch_end", and_then)


def test_a_runs_folder_that_vanishes_is_said(tmp_path, monkeypatch):
    after_an_epoch(monkeypatch, lambda: shutil.rmtree(tmp_path / "run"))
    with pytest.raises(RegraftError, match=r"it is gone; it was moved or deleted.*; start again"):
        run_job(tmp_path / "run", *TINY, "callbacks.checkpoint=null")


@pytest.fixture
def pets(tmp_path):
    return folder_of_images(tmp_path / "pets", cat=10, dog=10)


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
    words = ["trainer.max_epochs=3", f"data.root={pets}", f"data.on_error={on_error}"]
    with pytest.raises(RegraftError, match=r"\.png': no such file") as found:
        run_job(tmp_path / "run", *READING, *words)
    assert str(found.value).endswith("leave such files out from the start with data.on_error=skip")
    if what == "the folder":
        assert f"'{pets}' is gone, too: moved, or unmounted" in str(found.value)
    kept = result(tmp_path / "run")
    assert kept["status"] == "failed"
    assert kept["checkpoint"] == "checkpoints/best.ckpt"


def test_a_worker_that_is_killed_is_explained(pets, tmp_path, monkeypatch):
    monkeypatch.setattr(feeding, "read_image", lambda *_: os.kill(os.getpid(), signal.SIGKILL))
    with pytest.raises(RuntimeError) as found:
        run_job(tmp_path / "run", *READING, f"data.root={pets}", "loader.workers=1")
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
            os.waitpid(process, 0)  # from here on, whoever writes to it is told
            killed.append(process)

    after_an_epoch(monkeypatch, kill)
    # W&B finds out by itself, within some epochs.
    run_job(tmp_path / "one", *LOGGED, "trainer.max_epochs=40")
    assert killed
    found = result(tmp_path / "one")
    assert found["status"] == "finished"
    assert found["wandb"]["problem"].endswith("the training goes on without it")
    warnings = [one for one in caplog.records if one.levelname == "WARNING"]
    assert len([one for one in warnings if "Weights & Biases" in one.message]) == 1
    # The next job of the process has a W&B run again.
    run_job(tmp_path / "two", *LOGGED)
    assert "problem" not in result(tmp_path / "two")["wandb"]
    for one in gc.get_objects():  # W&B waits for none that was killed, and Python complains
        if type(one) is subprocess.Popen:
            one.poll()


class Silent(BaseHTTPRequestHandler):
    """A server that takes every request and never answers, until it is told to stop."""

    stop = threading.Event()
    waited_for: ClassVar[list[str]] = []  # requests of somebody who waited for the end of patience

    def wait(self):
        if not self.stop.wait(PATIENCE_S):
            self.waited_for.append(self.path)

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
def test_a_server_that_does_not_answer_is_not_waited_for(kind, tmp_path, monkeypatch, caplog):
    server = ThreadingHTTPServer(("127.0.0.1", 0), kind)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    monkeypatch.setenv("WANDB_MODE", "online")
    monkeypatch.setenv("WANDB_API_KEY", "a" * 40)
    monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setattr(wandb_service, "REACH_S", 1)
    monkeypatch.setattr(wandb_service, "STARTED_S", 3)
    kind.stop.clear()
    kind.waited_for.clear()
    try:
        logger.wandb.teardown()  # what it knows of servers
        run_job(tmp_path, *LOGGED)
    finally:
        kind.stop.set()  # only now does it answer: who had waited would be waiting still
        server.shutdown()
        server.server_close()
        logger.wandb.teardown()
    assert kind.waited_for == []
    found = result(tmp_path)
    assert found["status"] == "finished"
    assert found["wandb"]["problem"].startswith("not reached, logging offline")
    assert caplog.text.count("not reached, logging offline") == 1
