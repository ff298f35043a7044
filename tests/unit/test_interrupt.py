"""Signals that this process gets; those of whole sweeps are in cli/test_resume.py."""

import multiprocessing
import signal
import types

import pytest

from regraft import interrupt


@pytest.fixture
def busy():
    """Whether each look finds the other processes busy: for ever, unless a test says otherwise."""
    return []


@pytest.fixture
def wait(busy):
    """The handler of a process that has started others."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGINT, signal.default_int_handler)  # as from a terminal
    interrupt.pass_on(lambda: busy.pop(0) if busy else True)
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


@pytest.fixture
def child(monkeypatch):
    """A process that this one has started; the signals that it gets."""
    got = []
    process = types.SimpleNamespace(pid=-1)
    monkeypatch.setattr(multiprocessing, "active_children", lambda: [process])
    monkeypatch.setattr(interrupt.os, "kill", lambda pid, number: got.append((pid, number)))
    return got


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_goes_to_the_others_and_this_one_ends_once_they_are_idle(
    number, wait, busy, child, monkeypatch
):
    slept = []
    monkeypatch.setattr(interrupt.time, "sleep", slept.append)
    busy += [True, True, False]
    with pytest.raises(KeyboardInterrupt):
        wait(number, None)
    assert child == [(-1, number)]
    assert len(slept) == 2


def test_the_second_signal_waits_for_nobody(wait, child, monkeypatch):
    monkeypatch.setattr(interrupt.time, "sleep", lambda _: signal.raise_signal(signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        wait(signal.SIGINT, None)
    assert child == [(-1, signal.SIGINT)]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_signal_that_comes_twice_at_once_counts_once(monkeypatch):
    """As from a terminal, which tells all processes, one of which passes it on."""
    now = iter([100.0, 100.1, 100.2, 101.0, 101.1])
    monkeypatch.setattr(interrupt.time, "monotonic", lambda: next(now))
    bell = interrupt.Bell()
    with pytest.raises(KeyboardInterrupt):  # nobody listens
        bell(signal.SIGINT, None)
    bell(signal.SIGINT, None)  # or what is being written at the end would be cut off
    bell.listening = True
    bell(signal.SIGINT, None)
    assert not bell.rung
    bell(signal.SIGINT, None)
    assert bell.rung
    bell(signal.SIGINT, None)
