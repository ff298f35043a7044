"""Rows of answers in three formats, with names that mean harm."""

import csv
import json

import numpy as np
import pytest

from regraft.errors import RegraftError
from regraft.escaping import from_csv
from regraft.predict.answers import answers, format_of

CLASSES = ("=1+1", 'a,"b"', "línea\ndos", "cat")
PATHS = ["=cmd|x.png", 'a,"b".png', "line\nbreak.png"]
SHARES = np.array([[0.1, 0.2, 0.3, 0.4], [0.4, 0.4, 0.1, 0.1], [0.0, 0.0, 1.0, 0.0]])


def written(path, top=3):
    batch = answers(SHARES, PATHS, top, np.array([True, False, False]))
    with format_of(path)(path, CLASSES, top) as write:
        write(batch)
        write(batch._replace(paths=["again"] * 3))
    return path


def test_csv_has_the_further_classes_at_the_end_of_its_rows(tmp_path):
    text = written(tmp_path / "a.csv").read_text(encoding="utf-8")
    rows = list(csv.DictReader(text.splitlines()))
    assert len(rows) == 6
    assert [from_csv(row["path"]) for row in rows[:3]] == PATHS
    assert rows[0]["path"] == "'=cmd|x.png"
    assert from_csv(rows[1]["class"]) == "=1+1"  # of equal ones the first
    assert [row["abstained"] for row in rows[:3]] == ["true", "false", "false"]
    first = {name: rows[0][name] for name in ("class", "probability", "class_2", "probability_3")}
    assert first["class"] == "cat"
    assert (first["probability"], first["probability_3"]) == ("0.400000", "0.200000")
    assert from_csv(first["class_2"]) == "línea\ndos"
    assert text.splitlines()[0] == (
        "path,class,probability,abstained,class_2,probability_2,class_3,probability_3"
    )


def test_one_class_needs_no_further_columns(tmp_path):
    lines = written(tmp_path / "a.csv", top=1).read_text(encoding="utf-8").splitlines()
    assert lines[0] == "path,class,probability,abstained"


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
def test_lists_are_lists_where_there_are_any(form, tmp_path):
    path = tmp_path / f"a.{form}"
    if form == "parquet":
        parquet = pytest.importorskip("pyarrow.parquet")
        rows = parquet.read_table(written(path)).to_pylist()
    else:
        lines = written(path).read_text(encoding="utf-8").split("\n")
        rows = [json.loads(line) for line in lines if line]
    assert len(rows) == 6
    assert rows[0] == {
        "path": "=cmd|x.png",
        "class": "cat",
        "probability": 0.4,
        "abstained": True,
        "top_classes": ["cat", "línea\ndos", 'a,"b"'],
        "top_probabilities": [0.4, 0.3, 0.2],
    }


def test_parquet_is_written_as_it_comes(tmp_path, monkeypatch):
    parquet = pytest.importorskip("pyarrow.parquet")
    monkeypatch.setattr("regraft.predict.answers._ROWS", 3)
    found = parquet.ParquetFile(written(tmp_path / "a.parquet"))
    assert found.metadata.num_rows == 6
    assert found.metadata.num_row_groups == 2


def test_other_formats_are_refused(tmp_path, monkeypatch):
    with pytest.raises(RegraftError, match=r"end in .csv, .parquet, .jsonl; did .* '.parquet'"):
        format_of(tmp_path / "a.parquett")
    monkeypatch.setattr("regraft.predict.answers.find_spec", lambda name: None)
    with pytest.raises(RegraftError, match=r"a.parquet needs pyarrow: pip install 'regraft\[parq"):
        format_of(tmp_path / "a.parquet")
