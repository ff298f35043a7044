"""What the doctor looks at is what a job trains."""

import golden
from jobs import composed
from runs import filled

from regraft.doctor.job import assemble


def test_what_is_built_is_what_a_job_builds(finished_run, tmp_path):
    words = golden.JOBS["partial"]
    result = finished_run(*words).result
    there = map(filled, words)
    job = assemble(composed(tmp_path / "job", *there), tmp_path / "outputs")

    assert job.images.sizes == {name: result["data"][name] for name in ("train", "val", "test")}
    assert job.once.reason == result["features"]
    assert job.trained() == result["cost"]["params_trained"]
    assert job.parameters() == result["cost"]["params_total"]
