"""A job keeps the test images that it was most sure of and wrong about."""

import json

import golden
import pytest
from jobs import run_job

from regraft import mistakes, outputs
from regraft.data.transforms import UnreadableImageError

WORDS = golden.JOBS["scratch"]  # which learns little


def test_a_job_keeps_its_mistakes_with_their_images(finished_run):
    run = finished_run(*WORDS)
    kept = mistakes.read(run.folder / mistakes.FILE)
    rows = [row for row in run.rows("predictions.csv") if row["split"] == "test"]
    sure = {row["name"]: max(float(row["p_across"]), float(row["p_down"])) for row in rows}
    wrong = [row["name"] for row in rows if row["true"] != row["predicted"]]

    assert 0 < len(wrong) < mistakes.MOST
    assert sorted(shown.name for shown in kept) == sorted(wrong)
    assert [shown.confidence for shown in kept] == pytest.approx(
        sorted((sure[name] for name in wrong), reverse=True), abs=1e-4
    )
    assert all(sure[shown.name] == pytest.approx(shown.confidence, abs=1e-4) for shown in kept)
    assert all(shown.image for shown in kept)


def test_a_job_whose_images_have_gone_meanwhile_keeps_its_result(tmp_path, monkeypatch, caplog):
    def gone(*_):
        raise UnreadableImageError("a.png: no such file")

    monkeypatch.setattr(outputs, "_pixels", gone)
    run_job(tmp_path, *WORDS, sweep=True)
    assert json.loads((tmp_path / "result.json").read_text())["status"] == "finished"
    assert mistakes.read(tmp_path / mistakes.FILE) is None
    assert "mistakes are not kept: a.png: no such file" in caplog.text
