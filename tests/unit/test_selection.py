import json

import pytest

from regraft import report
from regraft.comparison import read_sweep
from regraft.errors import RegraftError


def add(folder, number, acc, seed=0, **words):
    """A finished job; `words` of its command line, with lr in its config besides."""
    job = folder / str(number)
    job.mkdir(parents=True)
    lr = 0.1 if number % 2 else 0.01
    (job / "config.yaml").write_text(f"optimizer:\n  lr: {lr}\nseed: {seed}\n")
    result = {
        "status": "finished",
        "choices": {"strategy": words.get("strategy", "finetune"), "data": "digits"},
        "overrides": [*(f"{key}={value}" for key, value in words.items()), f"seed={seed}"],
        "seed": seed,
        "strategy": {"name": words.get("strategy", "finetune"), "quadrant": None},
        "metrics": {"test/acc": acc},
        "data": {"name": "digits", "classes": 10, "train": 50, "test": 400},
    }
    (job / "result.json").write_text(json.dumps(result))


@pytest.fixture
def sweep(tmp_path):
    for number, strategy in enumerate(["finetune", "finetune", "scratch", "scratch"]):
        add(tmp_path, number, 0.5 + 0.1 * number, strategy=strategy)
    return tmp_path


def test_only_the_jobs_that_have_the_value(sweep):
    found = read_sweep(sweep, where={"strategy": "scratch"})
    assert [job.number for job in found.jobs] == [2, 3]
    assert found.planned is None  # so that none is said to be missing


@pytest.mark.parametrize("value", ["0.1", "1e-1"])
def test_a_key_of_the_config_that_no_word_gave(sweep, value):
    found = read_sweep(sweep, where={"optimizer.lr": value})
    assert [job.number for job in found.jobs] == [1, 3]


def test_another_key_competes(sweep):
    found = read_sweep(sweep, by=["optimizer.lr"])
    assert found.contender == "optimizer.lr"
    rows = {cell.title: [row.name for row in cell.rows] for cell in found.cells}
    both = ["optimizer.lr=0.01", "optimizer.lr=0.1"]
    assert rows == {"strategy=finetune": both, "strategy=scratch": both}


@pytest.mark.parametrize(
    ("where", "by", "message"),
    [
        ({"strategy": "finetun"}, [], "strategy=finetun: no job; there are finetune, scratch"),
        ({"optimizer.lrr": "1"}, [], "optimizer.lrr: no job's config has such a key; did you mean"),
        ({}, ["sed"], "sed: no job's config has such a key; did you mean 'seed'"),
    ],
)
def test_what_there_is_not_is_one_line(sweep, where, by, message):
    with pytest.raises(RegraftError, match=message):
        read_sweep(sweep, where=where, by=by)


def test_a_selection_is_shown_and_not_written(sweep):
    report.report(sweep)
    before = (sweep / "sweep.csv").read_bytes()
    made = report.of_some(sweep, where={"strategy": "scratch"}, by=[])
    assert made.files == ()
    assert (sweep / "sweep.csv").read_bytes() == before


def test_the_picture_of_costs_is_drawn_where_two_compete(sweep, tmp_path):
    assert (sweep / "pareto.png") in report.report(sweep).files
    alone = tmp_path / "alone"
    add(alone, 0, 0.5)
    assert not any(path.name == "pareto.png" for path in report.report(alone).files)
