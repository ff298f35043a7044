"""A publisher of small data sets: a server on this machine, and what torchvision knows of it."""

import hashlib
import inspect
import tarfile
import threading
import zipfile
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import tiny_sets
import torchvision.datasets

from regraft.data.published import KNOWN, published

CHOICES = {
    "root": None,
    "download": False,
    "val_fraction": 0.25,
    "test_fraction": 0.25,
    "split_seed": 0,
    "fold": None,
    "folds": 3,
    "per_class": None,
    "fraction": None,
}


def load(name, root, **changes):
    return published(0, name=name, **(CHOICES | {"root": str(root)} | changes))


def without_checksums(monkeypatch):
    """The small files are not those that were published."""
    cifar10, cifar100 = torchvision.datasets.CIFAR10, torchvision.datasets.CIFAR100
    batches = [[f"data_batch_{n}", None] for n in (1, 2, 3)]
    monkeypatch.setattr(cifar10, "train_list", batches)
    monkeypatch.setattr(cifar10, "test_list", [["test_batch", None]])
    monkeypatch.setattr(cifar100, "train_list", [["train", None]])
    monkeypatch.setattr(cifar100, "test_list", [["test", None]])
    for kind in (cifar10, cifar100):
        monkeypatch.setattr(kind, "meta", kind.meta | {"md5": None})
    flowers = torchvision.datasets.Flowers102
    files = {key: (name, None) for key, (name, _) in flowers._file_dict.items()}
    monkeypatch.setattr(flowers, "_file_dict", files)


class Server(ThreadingHTTPServer):
    """Serves `files`, or as much of them as `mood` allows, and counts who asks for them."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files, self.mood, self.asked = {}, "whole", []
        self.given_up = threading.Event()  # until then, who has stalled sends nothing more

    def url(self, name):
        return f"http://127.0.0.1:{self.server_port}/{name}"


class Handler(BaseHTTPRequestHandler):
    def do_HEAD(self):
        self.answer(body=False)

    def do_GET(self):
        self.server.asked.append(self.path)
        self.answer(body=True)

    def answer(self, body):
        mood, content = self.server.mood, self.server.files.get(self.path.strip("/"))
        if mood in ("404", "500") or content is None:
            self.send_error(int(mood) if mood.isdigit() else 404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if not body:
            return
        if mood == "changed":
            content = content[:-1] + bytes([content[-1] ^ 1])
        self.wfile.write(content[: len(content) // 2] if mood in ("cut", "stalled") else content)
        if mood == "stalled":
            self.wfile.flush()
            self.server.given_up.wait(60)

    def log_message(self, *_):
        pass


@contextmanager
def serving():
    """A server that answers until the end of the block."""
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield server
        server.given_up.set()
        server.shutdown()
        thread.join()


def _cifar10(tmp_path, server, monkeypatch):
    folder, archive = tiny_sets.cifar10(tmp_path / "made"), tmp_path / "made" / "c.tar.gz"
    (folder / "noise").write_bytes(np.random.default_rng(0).bytes(100_000))
    with tarfile.open(archive, "w:gz") as file:
        file.add(folder, folder.name)
    kind = torchvision.datasets.CIFAR10
    content = server.files["cifar-10-python.tar.gz"] = archive.read_bytes()
    url = server.url("cifar-10-python.tar.gz")
    monkeypatch.setattr(kind, "url", url)
    monkeypatch.setattr(kind, "tgz_md5", hashlib.md5(content).hexdigest())
    monkeypatch.setitem(KNOWN, "cifar10", KNOWN["cifar10"]._replace(url=url))


def _eurosat(tmp_path, server, monkeypatch):
    folder, archive = tiny_sets.eurosat(tmp_path / "made"), tmp_path / "made" / "e.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for path in sorted(folder.rglob("*.jpg")):
            file.write(path, path.relative_to(folder))
        file.writestr("noise", np.random.default_rng(0).bytes(100_000))
    content = server.files["EuroSAT.zip"] = archive.read_bytes()
    url = server.url("EuroSAT.zip")
    module = inspect.getmodule(torchvision.datasets.EuroSAT)
    whole = module.download_and_extract_archive

    def fetch(_, download_root, md5):
        whole(url, download_root=download_root, md5=hashlib.md5(content).hexdigest())

    monkeypatch.setattr(module, "download_and_extract_archive", fetch)
    monkeypatch.setitem(KNOWN, "eurosat", KNOWN["eurosat"]._replace(url=url))


SERVED = {"cifar10": _cifar10, "eurosat": _eurosat}
