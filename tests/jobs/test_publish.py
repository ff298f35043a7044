"""The W&B run of a sweep's report; unit/page/test_publish.py has what goes wrong with it."""

import io
import json

import wandb_file
from report_folders import logged
from rich.console import Console

from regraft.page import publish, write
from regraft.report import report

SECRET = "hf_abcdefghijklmnopqrst"


def test_the_report_run_has_the_table_the_pictures_and_the_page(tmp_path, monkeypatch):
    folder = logged(tmp_path / "2026-11-21" / "12-00-00")
    monkeypatch.setattr("sys.argv", ["train.py", f"data.token={SECRET}"])
    console = Console(file=io.StringIO(), width=200)
    publish.publish(report(folder), console)
    said = console.file.getvalue()
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
