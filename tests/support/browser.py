"""A headless Chromium, driven by DevTools messages over a pipe: no library, no port, no network."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--remote-debugging-pipe",
)


def find() -> str | None:
    """The browser of the variable CHROME, or one of the usual names."""
    return os.environ.get("CHROME") or next(filter(None, map(shutil.which, NAMES)), None)


class Tab:
    """A page of the browser; what it asked for and complained of is kept."""

    def __init__(self, write: int, read: int) -> None:
        self._write, self._read, self._rest, self._count = write, read, b"", 0
        self._session: str | None = None
        self._loaded = False
        self._asked: dict[str, str] = {}
        self.complaints: list[str] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    @property
    def requests(self) -> list[str]:
        """The addresses that were asked for, but those that the page's own policy forbids."""
        return list(self._asked.values())

    def call(self, method: str, **params: Any) -> Any:
        """The answer to a DevTools command; what happens meanwhile is kept."""
        self._count += 1
        message = {"id": self._count, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            heard = self._hear()
            if heard.get("id") == self._count:
                assert "error" not in heard, heard["error"]
                return heard["result"]

    def open(self, url: str) -> None:
        """Go there, and wait until it is loaded."""
        self._loaded = False
        found = self.call("Page.navigate", url=url)
        assert "errorText" not in found, found
        while "loaderId" in found and not self._loaded:
            self._hear()

    def ask(self, script: str) -> Any:
        """The value of an expression of JavaScript, a promise's too."""
        found = self.call(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def _hear(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            got = os.read(self._read, 1 << 16)
            assert got, "the browser has ended"
            self._rest += got
        text, _, self._rest = self._rest.partition(b"\0")
        heard: dict[str, Any] = json.loads(text)
        params = heard.get("params", {})
        match heard.get("method"):
            case "Page.loadEventFired":
                self._loaded = True
            case "Network.requestWillBeSent":
                self._asked[params["requestId"]] = params["request"]["url"]
            case "Network.loadingFailed" if params.get("blockedReason") == "csp":
                del self._asked[params["requestId"]]
            case "Runtime.exceptionThrown":
                self.complaints.append(json.dumps(params["exceptionDetails"]))
            case "Log.entryAdded":
                self.complaints.append(params["entry"]["text"])
            case "Runtime.consoleAPICalled":
                self.complaints.append(json.dumps(params["args"]))
        return heard


@contextmanager
def tab(profile: Path, *, width: int = 1200, height: int = 900) -> Iterator[Tab]:
    """A browser of its own with one page, ended with the block."""
    ours, theirs = os.pipe(), os.pipe()  # (read, write): what we hear, and what we say
    program = find()
    assert program
    flags = [*FLAGS, f"--user-data-dir={profile}", f"--window-size={width},{height}"]

    def place() -> None:  # in the new process: DevTools reads from 3 and writes to 4
        said, heard = os.dup(theirs[0]), os.dup(ours[1])
        said, heard = os.dup2(said, 3), os.dup2(heard, 4)

    process = subprocess.Popen(
        [program, *flags],
        preexec_fn=place,
        close_fds=False,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(theirs[0])
    os.close(ours[1])
    try:
        yield Tab(theirs[1], ours[0])
    finally:
        os.close(theirs[1])
        process.terminate()
        process.wait(20)
        os.close(ours[0])
