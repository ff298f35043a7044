"""report.html of a run or a sweep: one file, a pure function of its folder."""

import base64
import hashlib
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from rich.console import Console
from rich.filesize import decimal
from rich.text import Text

from regraft import report, shortlist
from regraft.comparison import Sweep, cells_of, lead_words, sentence
from regraft.errors import RegraftError
from regraft.jobs import Job, called, is_job, read_job
from regraft.page import job, listing, settings
from regraft.paths import shown, write_whole
from regraft.ranking import Ranking
from regraft.regret import regrets
from regraft.tables import ALT, METHOD, ONE_SEED, cells_in, heading, settings_of

FILE = "report.html"
MOST_FULL = 24  # jobs of a sweep that are shown with classes, calibration and mistakes
SECTIONS = ("config", "environment", "data")  # of diff.sections
# Nothing is fetched, and no script runs but the page's own, whatever stands in a name.
POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src '{script}'; "
    "base-uri 'none'; form-action 'none'"
)


def show(folder: Path, console: Console) -> None:
    """Write the page of a run or a sweep, and say where it is."""
    console.print(Text(where(write(folder))), soft_wrap=True)


def where(path: Path) -> str:
    """Where the page is, and how large."""
    return f"{shown(path)} ({decimal(path.stat().st_size)}); open it in a browser"


def write(folder: Path) -> Path:
    """Write report.html into the folder, after a sweep's tables and pictures.

    Raises RegraftError if it is neither a run nor a sweep, or cannot be written to.
    """
    return save(report.Report(_alone(folder), ()) if is_job(folder) else report.report(folder))


def save(made: report.Report) -> Path:
    """The same of a sweep that has been read; its pictures are there."""
    path = made.sweep.folder / FILE
    try:
        write_whole(path, page(made).encode("utf-8"))
    except OSError as error:
        raise RegraftError(f"cannot write {shown(path)}: {error.strerror}") from error
    return path


def _alone(folder: Path) -> Sweep:
    """A job by itself, as a sweep of one."""
    one = read_job(folder)
    return Sweep(folder, (one,), (), tuple(cells_of([one], [])))


def page(made: report.Report) -> str:
    """The whole page of a sweep that has been read, or of a run that is a sweep of one."""
    sweep = made.sweep
    chosen = shown_in_full(sweep)
    told = [job.read(one, full=one.number in chosen) for one in sweep.jobs]
    compared = {name: settings.compared([one.values[name] for one in told]) for name in SECTIONS}
    pictures = [path for path in made.files if path.suffix == ".png"]
    template = _environment().get_template("page.html")
    return template.render(
        alone=not made.files,
        name=_name(sweep, alone=not made.files),
        place=" ".join(sweep.folder.resolve().parts[-2:]),
        folder=shown(sweep.folder),
        sweep=sweep,
        cells=[
            {
                "title": heading(cell),
                "words": sentence(cell),
                "lead": lead_words(cell),
                "called": cell.called,
                "rows": [cells_in(cell, row) for row in cell.rows],
                "forecasts": [(row.name, words) for row in cell.rows for words in row.forecasts],
                "one_seed": cell.one_seed,
            }
            for cell in sweep.cells
        ],
        regrets={place: lost.words for place, lost in regrets(sweep).items()},
        ranking=_ranking(made.ranking),
        pictures=[(ALT[path.stem.partition("-")[0]], _data(path)) for path in pictures],
        listing=listing.of(sweep),
        told=told,
        first=_first([one for one in sweep.jobs if one.number in chosen]),
        full=len(chosen),
        most_full=MOST_FULL,
        titles={one.number: settings_of(one, sweep) for one in sweep.jobs},
        compared=compared,
        own={
            one.job.number: settings.own(one.values["config"], compared["config"]) for one in told
        },
        cost=_cost(sweep.jobs),
        method=METHOD,
        one_seed=ONE_SEED.format(called(sweep.jobs)),
        policy=POLICY.format(script=_digest(_source("page.js"))),
        style=_source("page.css"),
        script=_source("page.js"),
    )


def shown_in_full(sweep: Sweep) -> set[int]:
    """The numbers of all jobs with a result, or in a large sweep of each contender's best in every
    cell; of more than MOST_FULL of these the best. Judged on the validation images."""
    finished = [one for one in sweep.jobs if one.status == "finished"]
    if len(finished) <= MOST_FULL:
        return {one.number for one in finished}
    best = [
        max(row.counted, key=_validated) for cell in sweep.cells for row in cell.rows if row.counted
    ]
    return {one.number for one in sorted(best, key=_validated, reverse=True)[:MOST_FULL]}


def _first(jobs: Sequence[Job]) -> int | None:
    """The number of the job that a page opens at: the best, judged on the validation images."""
    return max(jobs, key=_validated).number if jobs else None


def _validated(one: Job) -> float:
    acc = job.number(one.metrics.get("val/acc"))
    return -1.0 if acc is None else acc


def _name(sweep: Sweep, *, alone: bool) -> str:
    if alone:
        one = sweep.jobs[0]
        return f"{one.strategy} on {one.data.get('name') or 'unknown data'}"
    names = {one.choices.get("sweep") for one in sweep.jobs} - {None}
    return (
        f"Sweep: {names.pop()}"
        if len(names) == 1
        else f"Sweep over {', '.join(sweep.swept) or 'seeds'}"
    )


def _ranking(ranking: Ranking | None) -> dict[str, Any] | None:
    """A ranking of backbones as two tables and what follows."""
    if ranking is None:
        return None
    lost = [shortlist.regret_cells(one) for one in ranking.regrets]
    return {
        "head": shortlist.HEAD,
        "rows": [shortlist.cells(ranking, one) for one in ranking.candidates],
        "lost_head": shortlist.REGRETS,
        "lost": lost if len(ranking.trained) > 1 else [],
        "words": ranking.sentence,
        "caveat": shortlist.caveat(ranking),
    }


def _cost(jobs: Sequence[Job]) -> str:
    """What all jobs took together."""
    sums = {
        key: sum(job.number(one.cost.get(key)) or 0 for one in jobs)
        for key in ("wall_s", "fit_s", "images_forwarded")
    }
    return (
        f"{sums['wall_s']:,.0f} s, of which training {sums['fit_s']:,.0f} s; "
        f"{sums['images_forwarded']:,.0f} images sent through a trunk"
    )


def _data(path: Path) -> str:
    """A picture as an address that holds it."""
    return f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}"


def _digest(script: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}"


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("regraft.page", "template"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_visible,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _source(name: str) -> str:
    return (Path(__file__).parent / "template" / name).read_text(encoding="utf-8")


def _visible(value: Any) -> Any:
    """Other people's text without control characters, and without what no file can hold."""
    if not isinstance(value, str) or value.isprintable() or hasattr(value, "__html__"):
        return value  # a macro's text has come by here already
    return "".join(c if c.isprintable() or c == "\n" else "\ufffd" for c in value)
