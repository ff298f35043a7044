"""A sweep's page at its end, and the W&B run of the same content."""

import io
import json

import pytest
import wandb
import wandb_file
from report_folders import job, sweep
from rich.console import Console

from regraft import wandb_service
from regraft.page import publish, write
from regraft.report import report

SECRET = "hf_abcdefghijklmnopqrst"


def logged(folder, kind="offline-run", **more):
    """A sweep whose jobs have W&B runs, or say so."""
    for number in range(2):
        known = {"id": f"run{number}", "project": "birds", "entity": None}
        one = job(folder / str(number), seed=number, wandb=known, **more)
        (one / "wandb" / f"{kind}-20261121_120000-run{number}").mkdir(parents=True)
    return folder


def published(folder):
    console = Console(file=io.StringIO(), width=200)
    publish.publish(report(folder), console)
    return console.file.getvalue()


@pytest.mark.slow
def test_the_report_run_has_the_table_the_pictures_and_the_page(tmp_path, monkeypatch):
    folder = logged(tmp_path / "2026-11-21" / "12-00-00")
    monkeypatch.setattr("sys.argv", ["train.py", f"data.token={SECRET}"])
    said = published(folder)
    found = wandb_file.read(folder)

    assert "report.html (" in said
    assert (found["run"].run_group, found["run"].job_type) == ("2026-11-21 12-00-00", "report")
    assert (found["run"].display_name, found["run"].project) == ("report", "birds")
    assert found["run"].notes.startswith("2 jobs, 0 failed")
    assert "finetune has 0.800" in found["run"].notes
    assert found["exit_code"] == 0
    assert [row for row in found["history"] if "report" in str(row)]
    kept = next(folder.glob("wandb/offline-run-*/files"))
    pages = list(kept.glob("media/html/report_*.html"))
    assert [page.read_bytes() for page in pages] == [(folder / write.FILE).read_bytes()]
    [table] = kept.glob("media/table/jobs_*.json")
    told = json.loads(table.read_text())
    assert told["columns"][:5] == ["job", "seed", "status", "test/acc", "interval"]
    assert told["data"][1][:4] == [1, "1", "finished", 0.8]
    assert not [p for p in folder.rglob("*") if p.is_file() and SECRET.encode() in p.read_bytes()]


def test_jobs_that_logged_nowhere_have_no_report_run(tmp_path, monkeypatch):
    monkeypatch.setattr(wandb, "init", lambda **_: pytest.fail("a run was started"))
    sweep(tmp_path / "none", seeds=(0,))
    debugged = {"choices": {"strategy": "finetune", "debug": "fast"}}
    logged(tmp_path / "debug", **debugged)
    for name in ("none", "debug"):
        published(tmp_path / name)
        assert (tmp_path / name / write.FILE).exists()


@pytest.mark.parametrize(
    ("kind", "answered", "mode"),
    [("offline-run", True, "offline"), ("run", True, "online"), ("run", False, "offline")],
)
def test_it_is_logged_where_the_jobs_were(kind, answered, mode, tmp_path, monkeypatch):
    asked = []

    def init(**words):
        asked.append(words["mode"])
        raise OSError("not in a test")

    monkeypatch.setattr(wandb, "init", init)
    monkeypatch.setattr(wandb_service, "reached", lambda: answered)
    published(logged(tmp_path, kind))
    assert asked == [mode]


def test_a_failure_of_wandb_is_one_line_and_not_the_sweep_s(tmp_path, monkeypatch, caplog):
    def broken(**_):
        raise wandb.errors.CommError("a server\nwith a cold")

    monkeypatch.setattr(wandb, "init", broken)
    assert "report.html (" in published(logged(tmp_path))
    [line] = [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]
    assert line == "Weights & Biases: the report was not logged: CommError: a server with a cold"


def test_a_page_that_cannot_be_made_is_one_line_too(tmp_path, monkeypatch, caplog):
    made = report(sweep(tmp_path, seeds=(0,)))
    monkeypatch.setattr(write, "page", lambda _: 1 / 0)
    publish.publish(made, Console(file=io.StringIO()))
    assert caplog.messages == ["no report.html: ZeroDivisionError: division by zero"]


@pytest.mark.slow
def test_a_sweep_of_the_command_line_logs_its_report_beside_its_jobs(train, tmp_path):
    words = ["seed=0,1", "data.per_class=2", "trainer.max_epochs=1"]
    done = train("-m", *words)
    assert done.returncode == 0, done.stderr
    [folder] = tmp_path.glob("outputs/sweeps/*/*")
    runs = [wandb_file.read(one)["run"] for one in (folder, folder / "0", folder / "1")]

    assert [run.job_type for run in runs] == ["report", "train", "train"]
    assert len({run.run_group for run in runs}) == 1
    assert len({run.project for run in runs}) == 1
    assert (folder / write.FILE).exists()
    assert "report.html (" in done.stdout
