import csv

import pytest
from pictures import pixels

from regraft.errors import RegraftError
from regraft.figures import fonts, runs
from regraft.pictures import draw, of_job, of_sweep, read_history, read_test


@pytest.fixture
def job(tmp_path):
    """The files of a job that knows an awkward class; its second epoch was not validated."""
    history = [["epoch", "step", "train/loss", "val/acc"], [0, 5, 0.5, 0.7], [1, 10, 0.4, ""]]
    classes = ["a,b", 'say "x"']
    table = [
        ["split", "name", "true", "predicted", *(f"p_{name}" for name in classes)],
        ["val", "one.png", "a,b", "a,b", 0.9, 0.1],
        ["test", "two.png", "a,b", 'say "x"', 0.2, 0.8],
        ["test", "th,ree.png", 'say "x"', 'say "x"', 0.3, 0.7],
    ]
    for name, rows in {"metrics.csv": history, "predictions.csv": table}.items():
        with (tmp_path / name).open("w", newline="") as file:
            csv.writer(file).writerows(rows)
    return tmp_path


def test_a_job_is_drawn_from_its_files(job):
    assert {path.name for path in draw(job, {"best_epoch": 0})} == {
        "curves.png",
        "confusion_matrix.png",
    }
    assert all(pixels(path).min() < 100 for path in job.glob("*.png"))


def test_a_job_is_drawn_with_the_font_that_it_asked_for(job, monkeypatch):
    asked = []
    monkeypatch.setattr(runs, "curves", lambda *_, **__: asked.append(fonts.families()[0]))
    draw(job, {"figures": {"font": "DejaVu Serif"}})
    draw(job, {})
    assert asked == ["DejaVu Serif", "DejaVu Sans"]


def test_what_was_not_measured_is_none(job):
    [first, second] = read_history(job / "metrics.csv")
    assert first == {"epoch": 0, "step": 5, "train/loss": 0.5, "val/acc": 0.7}
    assert second["val/acc"] is None


def test_the_test_images_only_by_index(job):
    assert read_test(job / "predictions.csv") == ([0, 1], [1, 1], ["a,b", 'say "x"'])


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("metrics.csv", None),
        ("metrics.csv", "epoch,val/acc\nzero,0.5\n"),
        ("metrics.csv", "epoch,val/acc\n0,0.5,7\n"),
        ("predictions.csv", None),
        ("predictions.csv", ""),
        ("predictions.csv", "split,name,true,predicted,p_a\ntest,x.png,b,a,1\n"),
    ],
)
def test_missing_and_damaged_files_are_one_line(job, name, content):
    if content is None:
        (job / name).unlink()
    else:
        (job / name).write_text(content)
    with pytest.raises(RegraftError, match="cannot be drawn") as error:
        draw(job, {})
    assert "\n" not in str(error.value)


def test_of_a_failed_job_its_error_comes_last(tmp_path):
    (tmp_path / "result.json").write_text('{"status": "failed", "error": "head.dropout=2: why"}')
    with pytest.raises(RegraftError, match="no pictures, .* no result: head.dropout=2: why$"):
        of_job(tmp_path)


def test_a_job_that_cannot_be_drawn_keeps_no_other_from_it(job, caplog):
    (job / "result.json").write_text('{"status": "finished", "best_epoch": 0}')
    of_sweep([job / "gone", job])
    assert "gone" in caplog.text
    assert (job / "curves.png").exists()


def test_of_predictions_that_were_cut_off_nothing_is_drawn(job):
    whole = {
        "calibration": {"before": [[2, 0.75, 0.5]], "after": [[2, 0.7, 0.5]], "temperature": 1}
    }
    draw(job, whole)
    path = job / "predictions.csv"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))
    with pytest.raises(RegraftError, match="predictions.csv has 1 of 2 test images"):
        draw(job, whole)
