"""What the doctor says of data sets as they are, in full."""

import pytest
from jobs import composed

from regraft.doctor import look, pictures
from regraft.doctor.job import assemble

FRACTALS = ("data=fractals", "data.train=20", "data.val=5", "data.test=10")


@pytest.mark.parametrize("words", [("data=digits",), FRACTALS], ids=["digits", "fractals"])
def test_images_that_are_alike_by_nature_are_no_copies(tmp_path, words):
    job = assemble(composed(tmp_path, *words), tmp_path)
    [found] = pictures.near_copies(job.images, look.look(job.images, seed=0, keep=8))
    assert found.level == "green", found
