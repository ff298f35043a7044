"""A process for work that may end it: a fault in machine code, or the system for want of memory."""

import atexit
import os
import sys
import threading
import traceback
import weakref
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection, Pipe
from queue import SimpleQueue
from typing import Any

from regraft.interrupt import bell, handled_by


class ProcessDiedError(Exception):
    """The process ended without an answer; `code` is -11 for SIGSEGV, as of subprocess."""

    def __init__(self, code: int) -> None:
        super().__init__(f"exit code {code}")
        self.code = code


class Worker:
    """A process forked from this one that does one task after the other.

    What is loaded for one task is there for the next. A task after a death has a new process.
    """

    def __init__(self) -> None:
        self.pid: int | None = None
        self._connection: Connection[Any, Any] | None = None

    def run(self, task: Callable[..., Any], *arguments: Any) -> Any:
        """What `task(*arguments)` returns over there, where signals go meanwhile.

        Raises the KeyboardInterrupt of the task, and one of its own for a signal that came too late
        for the task, or ended the process; ProcessDiedError if that ended by itself.
        """
        came: list[int] = []

        def pass_on(number: int, frame: Any) -> None:
            came.append(number)
            if self.pid:
                os.kill(self.pid, number)

        try:
            with handled_by(pass_on):
                answer = self._asked(task, arguments)
        except ProcessDiedError as death:
            if came:
                raise KeyboardInterrupt from death
            raise
        if isinstance(answer, KeyboardInterrupt):
            raise answer
        if came:
            raise KeyboardInterrupt
        return answer

    def close(self) -> int:
        """End the process, if there is one; its exit code."""
        if self._connection is None or self.pid is None:
            return 0
        self._connection.close()
        pid, self.pid, self._connection = self.pid, None, None  # no signal to who is no more
        _, status = os.waitpid(pid, 0)
        return os.waitstatus_to_exitcode(status)

    def _asked(self, *task: Any) -> Any:
        if self._connection is None:
            self._start()
        assert self._connection is not None
        try:
            self._connection.send(task)
            return self._connection.recv()
        except (EOFError, ConnectionError) as error:
            raise ProcessDiedError(self.close()) from error

    def _start(self) -> None:
        self._connection, theirs = Pipe()
        for stream in (sys.stdout, sys.stderr):
            stream.flush()  # or what is in their buffers would be written by both
        self.pid = os.fork()
        if not self.pid:
            self._connection.close()
            _serve(theirs)
        theirs.close()


def is_possible() -> bool:
    """Whether this process can be forked. It may have loaded torch, but not computed with it: a
    fork loses the threads and the GPU that are then at work."""
    main = threading.current_thread() is threading.main_thread()  # only it may ask for signals
    torch = sys.modules.get("torch")
    return sys.platform == "linux" and main and not (torch and torch.cuda.is_initialized())


def _serve(connection: Connection) -> None:
    """Do what is asked for until nobody is there to ask; never returns."""
    code = 1
    try:
        _forget_exits()
        tasks: SimpleQueue[Any] = SimpleQueue()
        idle = threading.Event()
        threading.Thread(target=_receive, args=(connection, tasks, idle), daemon=True).start()
        with handled_by(lambda *_: None):  # between the tasks they mean the other process
            while task := tasks.get():
                answer = _answer(*task)
                idle.set()
                connection.send(answer)
            atexit._run_exitfuncs()  # which os._exit would not: folders of temporary files
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        _flush()
        os._exit(code)


def _forget_exits() -> None:
    """Leave to the other process what it is to do at its end."""
    atexit._clear()
    weakref.finalize._registry.clear()  # type: ignore[attr-defined]
    weakref.finalize._registered_with_atexit = False  # type: ignore[attr-defined]


def _receive(connection: Connection, tasks: SimpleQueue[Any], idle: threading.Event) -> None:
    """Hand tasks over. When nobody is left to send them, the last is None; a process that is busy
    ends at once."""
    with suppress(EOFError, OSError):
        while task := connection.recv():
            idle.clear()
            tasks.put(task)
    if not idle.is_set():
        os._exit(1)
    tasks.put(None)


def _answer(task: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    try:
        with handled_by(bell):
            return task(*arguments)
    except KeyboardInterrupt as stop:
        return stop
    finally:
        _flush()


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):  # nobody reads it any more
            stream.flush()
