"""Processes that want the same thing at once, of which one makes it."""

import multiprocessing
import subprocess
import sys

import publisher
import pytest

from regraft.data import published as room

ONCE = 2  # torchvision first asks where a URL leads to, and does so with a GET


def count(name, root, barrier, queue):
    barrier.wait(60)
    try:
        queue.put(len(publisher.load(name, root, download=True).test))
    except BaseException as error:
        queue.put(repr(error))


@pytest.mark.parametrize("name", sorted(publisher.SERVED))
@pytest.mark.parametrize("attempt", range(3))
def test_processes_that_race_download_once(name, attempt, tmp_path, monkeypatch):
    room._published.cache_clear()
    publisher.without_checksums(monkeypatch)
    fork = multiprocessing.get_context("fork")
    queue, barrier = fork.Queue(), fork.Barrier(3)
    with publisher.serving() as server:
        publisher.SERVED[name](tmp_path, server, monkeypatch)
        words = (name, tmp_path / "r", barrier, queue)
        jobs = [fork.Process(target=count, args=words) for _ in range(3)]
        for job in jobs:
            job.start()
        counts = [queue.get(timeout=60) for _ in jobs]
        for job in jobs:
            job.join()
        assert len(set(counts)) == 1 and isinstance(counts[0], int), counts
        assert len(server.asked) == ONCE


def test_processes_that_race_render_fractals_once(tmp_path, monkeypatch):
    monkeypatch.setenv("REGRAFT_CACHE", str(tmp_path / "cache"))
    code = """
from regraft.data import fractals
rendered = []
draw = fractals._draw
fractals._draw = lambda *args: rendered.append(1) or draw(*args)
images = fractals.cached("source", 6, 64, size=32, seed=0)
print(len(rendered), int(images.sum(dtype="int64")))
"""
    racers = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    answers = [racer.communicate(timeout=60)[0].split() for racer in racers]

    assert sorted(int(rendered) for rendered, _ in answers) == [0, 6]
    assert answers[0][1] == answers[1][1]
