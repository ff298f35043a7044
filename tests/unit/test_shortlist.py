import csv
import io
import json

import pytest
from rankings import candidate, rank, training
from rich.console import Console

from regraft.report import report, show


@pytest.fixture
def sweep(tmp_path):
    """Three candidates, of which one failed and two were trained."""
    candidate(tmp_path, 0, "one", 0.7, params=11_700_000)
    candidate(tmp_path, 1, "two|x", 0.8)
    candidate(tmp_path, 2, "broken", None)
    training(tmp_path, 3, "two|x", 0.6)
    training(tmp_path, 4, "one", 0.9)
    plan = {"jobs": 5, "then": [[], [], []], "finalists": 2}
    (tmp_path / "sweep.json").write_text(json.dumps(plan))
    return tmp_path


def test_the_report_of_a_ranking_can_be_made_from_its_folder_again(sweep):
    names = ("sweep.csv", "sweep.md", "backbones.csv", "backbones.png")
    assert set(names) <= {path.name for path in report(sweep).files}
    first = [(sweep / name).read_bytes() for name in names]
    for name in names:
        (sweep / name).unlink()
    report(sweep)
    assert [(sweep / name).read_bytes() for name in names] == first


def test_the_terminal_says_everything_in_80_columns(sweep):
    console = Console(width=80, record=True, file=io.StringIO())
    show(report(sweep), console)
    text = console.export_text()
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert "one 0.700 0.65–0.75 0.900" in lines
    assert "two|x 0.800 0.75–0.85 first 0.600" in lines
    assert "one 0.700 0.700 1.00 not shipped 11.7M" in lines
    assert "broken failed" in lines
    assert "linear probe two|x 30.0 +23.3 to +36.2 worse" in lines
    assert "parameters one 0.0 the best" in lines
    assert "None of the" in text


def test_probes_are_no_rivals_of_what_was_trained(sweep):
    made = report(sweep)
    assert [row.name for cell in made.sweep.cells for row in cell.rows] == [
        "backbone=two|x",
        "backbone=one",
    ]
    text = (sweep / "sweep.md").read_text()
    assert "![Probe and measured accuracy" in text
    assert "| two\\|x | 0.800 |" in text


def test_the_csv_has_a_row_for_each_candidate_and_why_one_failed(sweep):
    report(sweep)
    with (sweep / "backbones.csv").open(newline="") as file:
        rows = {row["backbone"]: row for row in csv.DictReader(file)}
    assert list(rows) == ["two|x", "one", "broken"]
    assert rows["broken"]["error"] == "no weights"
    assert rows["one"]["ImageNet top-1"] == "not shipped"
    assert rows["one"]["name"] == "one.tag"
    assert float(rows["one"]["test_acc"]) == 0.9


def test_other_sweeps_have_no_ranking(sweep):
    (sweep / "sweep.json").write_text('{"jobs": 5}')
    assert report(sweep).ranking is None
    assert rank(sweep, 3).by_probe
