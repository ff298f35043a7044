"""A process for work that may end it, asked by a small program: the process of the tests has
computed with torch, whose threads a fork loses."""

import signal
import subprocess
import sys
import textwrap

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="jobs have no process of their own")
PROGRAM = """
import os, signal, sys, tempfile
from regraft.worker import ProcessDiedError, Worker, is_possible

def remember(number):
    seen.append(number)
    return seen

def end_by(name):
    os.kill(os.getpid(), getattr(signal, name))

def tell_parent(number):
    os.kill(os.getppid(), number)
    while True:
        signal.pause()  # until it comes back

def tell_both(number):
    os.killpg(0, number)
    while True:
        signal.pause()

def take_no_heed(number):
    end, start = os.pipe()
    signal.signal(number, lambda *_: os.write(start, b"!"))
    os.kill(os.getppid(), number)
    os.read(end, 1)

def make_folder():
    folders.append(tempfile.TemporaryDirectory())
    return folders[-1].name

worker, seen, folders = Worker(), [], []
"""


@pytest.fixture
def said(tmp_path):
    """What the program says that does this with a worker; it must end with the exit code."""

    def run(program, code=0):
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM + textwrap.dedent(program)],
            cwd=tmp_path,
            capture_output=True,  # until the last process that holds the other end has ended
            text=True,
            timeout=60,
            start_new_session=True,
            # As from a terminal: in the background of a shell, Ctrl-C is ignored.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )
        assert (done.returncode, done.stderr) == (code, "")
        return done.stdout.splitlines()

    return run


def test_one_process_does_all_tasks_and_keeps_what_it_has_loaded(said):
    lines = said("""
        print(is_possible())
        worker.run(print, "in between")
        print(worker.run(remember, 1), worker.run(remember, 2), seen)
        print(worker.close(), worker.close())
        """)
    assert lines == ["True", "in between", "[1] [1, 2] []", "0 0"]


@pytest.mark.parametrize(
    ("task", "code"),
    [("end_by, 'SIGKILL'", -9), ("end_by, 'SIGSEGV'", -11), ("os._exit, 3", 3), ("os._exit, 0", 0)],
)
def test_its_end_is_told_from_an_answer_and_the_next_task_has_a_new_one(task, code, said):
    lines = said(f"""
        worker.run(remember, 1)
        try:
            worker.run({task})
        except ProcessDiedError as death:
            print(death.code)
        print(worker.run(remember, 2))
        """)
    assert lines == [f"{code}", "[2]"]


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
@pytest.mark.parametrize("task", ["tell_parent", "tell_both", "take_no_heed"])
def test_a_signal_stops_the_task_once_and_both_processes_live_on(task, name, said):
    """From a terminal it comes to both; one that the task does not heed stops who has asked."""
    lines = said(f"""
        try:
            worker.run({task}, signal.{name})
        except KeyboardInterrupt:
            print("stopped")
        print(worker.run(remember, 1))
        """)
    assert lines == ["stopped", "[1]"]


def test_after_a_signal_that_ends_it_there_is_no_next_task(said):
    lines = said("""
        def give_up(number):
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getppid(), number)
            signal.pause()

        try:
            worker.run(give_up, signal.SIGTERM)
        except KeyboardInterrupt:
            print("stopped")
        """)
    assert lines == ["stopped"]


def test_at_its_end_it_removes_its_temporary_files_and_leaves_those_of_the_other(said):
    lines = said("""
        own = make_folder()
        other = worker.run(make_folder)
        print(os.path.exists(own), os.path.exists(other))
        worker.close()
        print(os.path.exists(own), os.path.exists(other))
        """)
    assert lines == ["True True", "True False"]


def test_so_it_does_where_the_other_ends_without_a_word(said, tmp_path):
    lines = said("""
        tempfile.tempdir = os.getcwd()
        worker.run(make_folder)
        print(len(os.listdir()))
        """)
    assert lines == ["1"]
    assert not [*tmp_path.iterdir()]


def test_it_ends_with_the_process_that_has_started_it(said):
    said("worker.run(tell_parent, signal.SIGKILL)", code=-signal.SIGKILL)


def test_a_process_that_works_on_a_gpu_is_not_forked(said):
    assert said("""
        from types import SimpleNamespace
        sys.modules["torch"] = SimpleNamespace(cuda=SimpleNamespace(is_initialized=lambda: True))
        print(is_possible())
        """) == ["False"]
