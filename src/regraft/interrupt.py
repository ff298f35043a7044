"""Ctrl-C and SIGTERM: the first ends a job where it can go on from, the second at once."""

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

WAIT_S = 600  # for somebody who has died
SAME_S = 0.5  # a terminal tells all its processes, and a sweep's first one tells the others again
SAID = b"\nstopping after this step; Ctrl-C again stops at once\n"


class Stopped(BaseException):
    """A job ends because it was asked to, and has kept what it needs to go on."""


class Bell:
    """Rings for a signal. While somebody listens, it waits for them to come to an end."""

    def __init__(self) -> None:
        self.rung = False
        self.when = 0.0
        self.listening = False
        self.before: dict[int, Any] = {}  # the handlers of the signals that ring it

    def __call__(self, number: int, frame: Any) -> None:
        if self.rung and time.monotonic() - self.when < SAME_S:
            return
        if self.rung or not self.listening:
            raise KeyboardInterrupt
        self.rung, self.when = True, time.monotonic()
        os.write(2, SAID)  # not print, whose buffer may be in use just now

    def listen(self) -> None:
        """From here on, `stop_if_rung` is called every now and then."""
        for number in self.before:  # also those that Lightning has taken meanwhile
            signal.signal(number, self)
        self.listening = True

    def stop_if_rung(self, when: str) -> None:
        """Raises Stopped if it was asked for."""
        if self.rung:
            raise Stopped(f"interrupted {when}")


bell = Bell()


def pass_on(busy: Callable[[], bool]) -> None:
    """From here on, a signal goes to the processes that this one has started, and ends this one
    with KeyboardInterrupt once they are gone or no longer `busy`; or at once, the second time."""

    def wait(number: int, frame: Any) -> None:
        for again in (signal.SIGINT, signal.SIGTERM):
            signal.signal(again, signal.default_int_handler)
        for process in multiprocessing.active_children():
            os.kill(process.pid or 0, number)
        while multiprocessing.active_children() and busy():
            time.sleep(0.1)
        raise KeyboardInterrupt

    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, wait)


def wait_for_the_others() -> None:
    """One of several processes has stopped; whoever has started them will end it, after the others.

    If it raised or returned instead, the others would be killed, or it would get the next job.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    time.sleep(WAIT_S)


@contextmanager
def attended() -> Iterator[None]:
    """Signals ring the bell until the end of the block; but not those that are taken already, as
    in the background of a shell or by a cluster's own requeuing."""
    free = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}
    main = threading.current_thread() is threading.main_thread()  # only it may ask for signals
    bell.before = {n: own for n, own in free.items() if main and signal.getsignal(n) == own}
    bell.rung = bell.listening = False
    for number in bell.before:
        signal.signal(number, bell)
    try:
        yield
    finally:
        for number, handler in bell.before.items():
            signal.signal(number, handler)
        bell.before, bell.listening = {}, False
