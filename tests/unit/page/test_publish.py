"""A sweep's page at its end, and where the W&B run of the same content is logged."""

import io

import pytest
import wandb
from report_folders import logged, sweep
from rich.console import Console

from regraft import wandb_service
from regraft.page import publish, write
from regraft.report import report


def published(folder):
    console = Console(file=io.StringIO(), width=200)
    publish.publish(report(folder), console)
    return console.file.getvalue()


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
