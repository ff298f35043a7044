"""A sweep's page at its end, and the same content as a Weights & Biases run of its group."""

import hashlib
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from regraft.comparison import Sweep, sentence
from regraft.errors import RegraftError
from regraft.jobs import table
from regraft.page import listing, write
from regraft.paths import group_of
from regraft.report import Report

log = logging.getLogger(__name__)


def publish(made: Report, console: Console) -> None:
    """At a sweep's end: write its page, say where it is, and log it where its jobs logged to.

    Each failure is one line, and none is the sweep's.
    """
    try:
        path = write.save(made)
    except Exception as error:  # the jobs' results are there, and the page can be made again
        log.warning("no %s: %s", write.FILE, _line(error))
        return
    console.print(Text(write.where(path)), soft_wrap=True)
    if jobs := list(_logged(made.sweep)):
        try:
            _log(made, path, jobs)
        except Exception as error:  # whatever W&B trips over, the page is in the folder
            log.warning("Weights & Biases: the report was not logged: %s", _line(error))


def _line(error: Exception) -> str:
    text = str(error) if isinstance(error, RegraftError) else f"{type(error).__name__}: {error}"
    return " ".join(text.split())


def _logged(sweep: Sweep) -> Iterator[tuple[Mapping[str, Any], bool]]:
    """The W&B run of each job that has one, and whether it is online; none of debug runs."""
    for job in sweep.jobs:
        known = table(job.record, "wandb")
        folders = [path.name for path in job.folder.glob("wandb/*run-*")]
        if known.get("id") and folders and "debug" not in job.choices:
            yield known, not any(name.startswith("offline-") for name in folders)


def _log(made: Report, page: Path, jobs: list[tuple[Mapping[str, Any], bool]]) -> None:
    import wandb

    from regraft import wandb_service  # W&B takes a second to import

    sweep, first = made.sweep, jobs[0][0]
    online = any(online for _, online in jobs) and wandb_service.reached()
    told = [sentence(cell) for cell in sweep.cells]
    with wandb_service.masked_words():
        run = wandb.init(
            project=first.get("project"),
            entity=first.get("entity"),
            id=hashlib.sha256(f"report of {first['id']}".encode()).hexdigest()[:8],
            resume="allow",  # of a sweep that was gone on with: the same run
            reinit="create_new",
            mode="online" if online else "offline",
            dir=sweep.folder,
            group=group_of(sweep.folder),
            job_type="report",
            name="report",
            notes="\n".join(filter(None, [sweep.summary, sweep.textbook, *told])),
            config={"jobs": len(sweep.jobs), "failed": len(sweep.failed), "swept": sweep.swept},
            settings=wandb.Settings(
                silent=True, console="off", x_save_requirements=False, **wandb_service.patience()
            ),
        )
    code = 1
    try:
        run.log(_content(made, page))
        code = 0
    finally:
        wandb_service.close(run, exit_code=code)


def _content(made: Report, page: Path) -> dict[str, Any]:
    """The table of all jobs, the sweep's pictures, and the page itself."""
    import wandb

    found = listing.of(made.sweep)
    table = wandb.Table(
        columns=[column.key for column in found.columns],
        data=[
            [
                cell.value if column.numeric and column != listing.INTERVAL else cell.text
                for column, cell in zip(found.columns, cells, strict=True)
            ]
            for _, cells in found.rows
        ],
    )
    pictures = {p.stem: wandb.Image(str(p)) for p in made.files if p.suffix == ".png"}
    return {"jobs": table, **pictures, "report": wandb.Html(str(page), inject=False)}
