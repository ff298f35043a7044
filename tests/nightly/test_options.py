"""Each shipped option by itself trains two steps; tests/jobs trains many of them together."""

import options
import pytest

GROUPS = ("backbone", "debug", "features", "preset", "pretrain", "quadrant", "strategy")
ALONE = [
    (group, name) for group in (*options.FREE, "freeze", *GROUPS) for name in options.of(group)
]
DATA = ("digits", "fractals", "image_folder")  # the others are read in tests/unit/data


@pytest.mark.parametrize(("group", "name"), ALONE)
def test_an_option_trains_two_steps(finished_run, group, name):
    own = [*options.TWO_STEPS]
    if {group, name} & {*options.OWN_DATA}:
        own = [word for word in own if not word.startswith("data")]
    run = finished_run(*own, *options.words(group, name))
    assert run.returncode == 0, run.stderr
    assert run.result["status"] == "finished"


@pytest.mark.parametrize("name", DATA)
def test_a_data_set_trains_two_steps(finished_run, name):
    own = [word for word in options.TWO_STEPS if not word.startswith("data")]
    where = ["data.root={stripes}"] if name == "image_folder" else ["data.per_class=3"]
    run = finished_run(*own, f"data={name}", *where)
    assert run.returncode == 0, run.stderr
