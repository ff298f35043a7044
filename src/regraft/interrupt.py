"""Ctrl-C and SIGTERM: the first ends a job where it can go on from, the second at once."""

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from math import inf
from typing import Any

WAIT_S = 600  # for somebody who has died
SAME_S = 0.5  # a terminal tells all its processes, and a sweep's first one tells the others again
QUEUE_S = 60  # for the next checkpoint; a cluster leaves a job a minute or some
SAID = b"\nstopping after this step; Ctrl-C again stops at once\n"


class Stopped(BaseException):
    """A job ends because it was asked to, and has kept what it needs to go on."""


class Bell:
    """Rings for a signal. While somebody listens, it waits for them to come to an end."""

    def __init__(self) -> None:
        self.rung = False
        self.when = -inf  # the last signal that was heeded
        self.listening = False
        self.before: dict[int, Any] = {}  # the handlers of the signals that ring it
        self.requeue: Callable[[], object] | None = None  # how submitit ends the job

    def __call__(self, number: int, frame: Any) -> None:
        now = time.monotonic()
        if now - self.when < SAME_S:
            return
        self.when = now
        if self.rung or not self.listening:
            raise KeyboardInterrupt
        self.rung = True
        os.write(2, SAID)  # not print, whose buffer may be in use just now

    def before_requeue(self, number: int, frame: Any) -> None:
        """A cluster is about to end the job: submitit puts it back into the queue and exits, but
        after the next checkpoint, or after QUEUE_S if none comes."""
        requeue = partial(self.before[number], number, None)
        if not self.listening:
            requeue()
        elif not self.rung:
            self.rung, self.when, self.requeue = True, time.monotonic(), requeue
            os.write(2, b"\nto be queued again, after this step\n")
            signal.signal(signal.SIGALRM, lambda *_: requeue())
            signal.alarm(QUEUE_S)

    def handler(self, number: int) -> Callable[[int, Any], None]:
        """What a signal that rings it does."""
        return self.before_requeue if _is_of_submitit(self.before[number]) else self

    def listen(self) -> None:
        """From here on, `stop_if_rung` is called every now and then."""
        for number in self.before:  # also those that Lightning has taken meanwhile
            signal.signal(number, self.handler(number))
        self.listening = True

    def stop_if_rung(self, when: str) -> None:
        """Raises Stopped if it was asked for, or SystemExit if submitit starts the job again."""
        if self.requeue is not None:
            signal.alarm(0)
            self.requeue()
        if self.rung:
            raise Stopped(f"interrupted {when}")


def _is_of_submitit(handler: Any) -> bool:
    return getattr(handler, "__name__", "") == "checkpoint_and_try_requeue"


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


@contextmanager
def handled_by(handler: Callable[[int, Any], None]) -> Iterator[None]:
    """Signals go to `handler` until the end of the block, but those that are ignored."""
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {n: now for n in numbers if (now := signal.getsignal(n)) != signal.SIG_IGN}
    for number in before:
        signal.signal(number, handler)
    try:
        yield
    finally:
        for number, own in before.items():
            signal.signal(number, own)


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
    in the background of a shell; submitit's requeuing waits for a checkpoint."""
    free = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}
    main = threading.current_thread() is threading.main_thread()  # only it may ask for signals
    bell.before = {
        n: now for n, own in free.items() if main and (now := signal.getsignal(n)) in (own, bell)
    }
    if main:
        taken = {n: signal.getsignal(n) for n in signal.valid_signals()}
        bell.before |= {n: own for n, own in taken.items() if _is_of_submitit(own)}
    bell.rung, bell.listening, bell.when = False, False, -inf
    for number in bell.before:
        signal.signal(number, bell.handler(number))
    try:
        yield
    finally:
        if bell.requeue is not None:
            signal.alarm(0)
        for number, handler in bell.before.items():
            signal.signal(number, handler)
        bell.before, bell.listening, bell.requeue = {}, False, None
