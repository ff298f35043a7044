"""A small hub on this machine: what the hub's client asks of the real one, and how it fails."""

import hashlib
import re
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

COMMIT = "0123456789" * 4
PATIENCE_S = 30  # after which it goes on by itself: who waits for it longer fails its test


class Hub(ThreadingHTTPServer):
    """Serves `files`, {(repository, name): content}, from revision main of its repositories.

    What is set on it makes it fail: a `status` for every answer, the number of `cuts`, answers that
    end in the middle of a file, and `damage`, which turns the bytes of a file around. Events that
    are cleared make it wait: `answer` before a HEAD is answered, `go_on` in the middle of a file.
    """

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Answer)
        self.files, self.asked = {}, []
        self.status, self.cuts, self.damage = None, 0, False
        self.answer, self.go_on = threading.Event(), threading.Event()
        self.answer.set()
        self.go_on.set()

    @property
    def endpoint(self):
        return f"http://127.0.0.1:{self.server_port}"

    @property
    def downloads(self):
        """Requests for the content of a file; those for its size begin with HEAD."""
        return [words for words in self.asked if re.match("GET .*/resolve/", words)]

    def handle_error(self, request, client_address):
        """A client that went away is what a test wants."""


class _Answer(BaseHTTPRequestHandler):
    def do_HEAD(self):
        self.server.answer.wait(PATIENCE_S)
        self._answer()

    def do_GET(self):
        self._answer(with_content=True)

    def _answer(self, with_content=False):
        hub, wanted = self.server, self.headers.get("Range")
        hub.asked.append(f"{self.command} {self.path} {wanted or ''}".strip())
        found = re.fullmatch(r"/(.+?/.+?)/resolve/main/(.+)", self.path)
        repository, name = found.groups() if found else ("", "")
        if hub.status or not found or repository not in {known for known, _ in hub.files}:
            status = hub.status or 404
            return self._say(status, {"X-Error-Code": "RepoNotFound"} if status == 404 else {})
        if (repository, name) not in hub.files:
            return self._say(404, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": COMMIT})
        content = hub.files[repository, name]
        etag = f'"{hashlib.sha256(content).hexdigest()}"'
        start = int(re.fullmatch(r"bytes=(\d+)-", wanted)[1]) if wanted else 0
        headers = {"X-Repo-Commit": COMMIT, "ETag": etag, "Accept-Ranges": "bytes"}
        headers["Content-Length"] = str(len(content) - start)
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        self._say(206 if start else 200, headers)
        if with_content:
            content = content[::-1] if hub.damage else content
            self._send(content[start : len(content) // 2], content[max(start, len(content) // 2) :])

    def _say(self, status, headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def _send(self, first_half, second_half):
        self.wfile.write(first_half)
        self.wfile.flush()
        if self.server.cuts:
            self.server.cuts -= 1
            return
        self.server.go_on.wait(PATIENCE_S)
        self.wfile.write(second_half)

    def log_message(self, *_):
        """Nothing: `asked` knows."""


@contextmanager
def serving():
    """A hub that answers for as long as the block runs."""
    with Hub() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield server
        server.answer.set()
        server.go_on.set()
        server.shutdown()
        thread.join()


def use(endpoint: str, cache, patch: pytest.MonkeyPatch):
    """Make the hub's client of this process ask at `endpoint` and keep its files in `cache`."""
    from huggingface_hub import constants

    path = "/{repo_id}/resolve/{revision}/{filename}"
    patch.setattr(constants, "ENDPOINT", endpoint)
    patch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", endpoint + path)
    patch.setattr(constants, "HF_HUB_CACHE", str(cache))
    patch.setattr(constants, "HF_HUB_OFFLINE", False)
    patch.setenv("NO_PROXY", "127.0.0.1")
