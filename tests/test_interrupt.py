"""Signals that this process gets; those of whole sweeps are in e2e/test_resume.py."""

import multiprocessing
import signal

import pytest

from regraft import interrupt


@pytest.fixture
def wait():
    """The handler of a process that has started others, which are busy for ever."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGINT, signal.default_int_handler)  # as from a terminal
    interrupt.pass_on(lambda: True)
    yield signal.getsignal(signal.SIGINT)
    for number, handler in before.items():
        signal.signal(number, handler)


def test_nobody_waits_for_processes_that_are_not_there(wait, monkeypatch):
    def forever(seconds):
        pytest.fail("waits")

    monkeypatch.setattr(multiprocessing, "active_children", list)
    monkeypatch.setattr(interrupt.time, "sleep", forever)
    with pytest.raises(KeyboardInterrupt):
        wait(signal.SIGINT, None)
