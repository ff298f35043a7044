"""A long sweep leaves nothing of its jobs in its process; nightly/test_many_jobs.py measures it."""

import gc
import threading
import weakref
from pathlib import Path

from runs import TINY, filled

from regraft.classifier import Classifier
from regraft.data.images import Images
from regraft.sweep import SweepProgress

OPEN = Path("/proc/self/fd")


def test_a_job_finds_nothing_of_those_before_it(train, monkeypatch):
    seen, made = [], {Classifier: weakref.WeakSet(), Images: weakref.WeakSet()}
    for kind, alive in made.items():

        def watched(self, *args, _init=kind.__init__, _alive=alive, **kwargs):
            _alive.add(self)
            _init(self, *args, **kwargs)

        monkeypatch.setattr(kind, "__init__", watched)
    before = SweepProgress.on_job_start

    def look(*args, **kwargs):
        gc.collect()
        alive = {kind.__name__: len(objects) for kind, objects in made.items()}
        alive["threads"] = threading.active_count()
        alive["files"] = len([*OPEN.iterdir()]) if OPEN.exists() else 0
        seen.append(alive)
        return before(*args, **kwargs)

    monkeypatch.setattr(SweepProgress, "on_job_start", look)
    words = [*map(filled, TINY)]
    assert train("-m", *words, "seed=0,1,2,3").returncode == 0
    assert len(seen) == 4
    assert all(seen[3][what] <= seen[2][what] for what in seen[2])
    assert (seen[3]["Classifier"], seen[3]["Images"]) == (0, 0)
