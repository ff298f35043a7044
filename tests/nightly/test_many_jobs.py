"""A long sweep, shortened: `make bench ARGS=many_jobs` runs 500 jobs."""

import importlib.util
import sys

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


def test_the_process_of_a_sweep_grows_with_no_job(repository):
    path = repository / "benchmarks" / "many_jobs.py"
    spec = importlib.util.spec_from_file_location("many_jobs", path)
    many_jobs = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(many_jobs)
    found = many_jobs.measure(jobs=25, every=8)
    for what in ("open files", "threads"):
        early, late = (found[f"before job {done}: {what}"][0] for done in (8, 24))
        assert late <= early + 1
    early, late = (found[f"before job {done}: of that in no file, MB"][0] for done in (8, 24))
    assert late - early < 16  # one network of each job would be 38 MB
