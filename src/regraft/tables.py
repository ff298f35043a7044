"""A sweep as text: sweep.csv for machines, sweep.md for people."""

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from regraft.comparison import Cell, Row, Sweep, lead_words, sentence
from regraft.escaping import in_csv, printable
from regraft.escaping import in_markdown as escape
from regraft.jobs import Job
from regraft.regret import regrets

METHOD = (
    "Intervals are 95 %: over the seeds (Student's t), and at least as wide as over the test "
    "images (Wilson). A strategy wins if it is better than every other one at the 5 % level, in "
    "two tests: a paired t test whose variance over the seeds is that of all strategies together, "
    "and one that adds to it what the test images leave open, which all seeds share (crossed "
    "random effects, as in Dorfman, Berbaum and Metz 1992). "
    "Those that cannot be told apart from the best tie with it; who loses where nobody wins does "
    "so after Holm's correction for all pairs, as the best was chosen by the same numbers. With "
    "one seed only the test images speak (McNemar's exact test, or two proportions where the "
    "answers cannot be paired, with the same correction), and another seed may say otherwise. "
    "A lead that would have been seen in 8 of 10 sweeps is one over all others, if they are equal "
    "and scatter as here. "
    "Of folds the mean over their seeds counts, once each, and the test images of all of them "
    "together; since folds share most of their training images, intervals over them are a little "
    "too narrow (Bengio and Grandvalet 2004). Seconds are a job's own, but of pretraining they "
    "are what making the weights took, whichever job made them. Where a set has no test, its "
    "validation images judge, which also chose the epochs: such accuracies are a little too high."
)
ALT = {  # what the pictures show
    "quadrants": "The sweep's accuracies in the textbook's 2×2 grid",
    "labels": "Accuracy over the number of labels, a line for each kind of initial weights",
    "pareto": "Accuracy over seconds, images and parameters",
    "backbones": "Probe and measured accuracy of each backbone, and its parameters",
}
ONE_SEED = "one seed: interval over {} images only"  # test or validation
METRICS = ("val/acc", "val/loss", "test/acc", "test/loss", "test/macro_f1", "test/ece")


def csv_table(sweep: Sweep) -> str:
    """sweep.csv: a row per job, failed ones too; what was swept comes before the other choices."""
    choices = {key for job in sweep.jobs for key in job.choices if key not in sweep.swept}
    groups = [*sweep.swept, *sorted(choices)]
    metrics = columns(METRICS, (job.metrics for job in sweep.jobs))
    cost = columns((), (job.cost for job in sweep.jobs))
    data = columns(("name", "classes", "train", "val", "test"), (job.data for job in sweep.jobs))
    head = ["job", "status", "error", *groups, "seed", *(["fold"] if sweep.folds else []), *metrics]
    head += [f"cost/{key}" for key in cost] + [f"data/{key}" for key in data] + ["forecast"]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(map(in_csv, head))
    for job in sweep.jobs:
        known = job.choices or job.overrides
        row = [
            job.number,
            job.status,
            job.error,
            *(job.setting(k) if known else "" for k in groups),
        ]
        row += [job.seed, *([job.fold] if sweep.folds else [])]
        row += [job.metrics.get(key) for key in metrics]
        row += [job.cost.get(key) for key in cost] + [job.data.get(key) for key in data]
        cells = (printable(v) if isinstance(v, str) else v for v in [*row, job.forecast])
        writer.writerow(map(in_csv, cells))
    return text.getvalue()


def columns(first: Sequence[str], records: Iterable[Any]) -> list[str]:
    """The keys of all records that hold plain values: the well-known ones first, the others by
    name."""
    found = {
        key
        for record in records
        for key, value in record.items()
        if not isinstance(value, dict | list)
    }
    return [*(key for key in first if key in found), *sorted(found - set(first))]


def markdown(sweep: Sweep, pictures: Sequence[Path], first: Sequence[str] = ()) -> str:
    """sweep.md: lines that come `first`, a table per cell, verdicts in sentences, failed jobs with
    their errors."""
    names = {job.choices.get("sweep") for job in sweep.jobs} - {None}
    lines = [
        f"# Sweep{f': {escape(names.pop())}' if len(names) == 1 else ''}",
        "",
        escape(sweep.summary),
    ]
    for path in pictures:
        lines += ["", f"![{ALT[path.stem.partition('-')[0]]}]({path.name})"]
    lines += first
    if sweep.textbook:
        lines += ["", f"**{sweep.textbook}**"]
    for cell in sweep.cells:
        lines += [
            "",
            f"## {escape(heading(cell))}",
            "",
            *cell_table(cell, sweep.contender),
            "",
        ]
        lines.append(escape(sentence(cell)))
        if lead := lead_words(cell):
            lines.append(f"{lead}.")
        for row in cell.rows:
            lines += [f"\n{escape(f'Forecast of {row.name}: {words}')}." for words in row.forecasts]
    for cell_of, made in regrets(sweep).items():
        lines += ["", f"**{escape(f'{cell_of}: {made.words}')}**"]
    if sweep.failed:
        lines += ["", "## Failed jobs", "", *failed_table(sweep)]
    return "\n".join([*lines, "", "## How to read this", "", METHOD, ""])


def heading(cell: Cell) -> str:
    return printable(": ".join(part for part in (cell.title, cell.data) if part))


def cell_table(cell: Cell, contender: str) -> list[str]:
    """A Markdown table with a row per contender."""
    head = [
        contender,
        f"{cell.called} acc",
        "95 % interval",
        "runs",
        "behind the best, points",
        "p",
    ]
    head += ["seconds", "trained parameters", ""]
    lines = [markdown_row(head), markdown_row(["---", *["---:"] * 7, "---"])]
    lines += [markdown_row([escape(text) for text in cells_in(cell, row)]) for row in cell.rows]
    return [*lines, "", f"† {ONE_SEED.format(cell.called)}"] if cell.one_seed else lines


def markdown_row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def cells_in(cell: Cell, row: Row) -> list[str]:
    """One row of a cell's table, as text."""
    if not row.scores:
        return [row.name, "failed", "", seeds(row), "", "", "", "", marks(cell, row)]
    comparison = cell.verdict.comparisons.get(row.name) if cell.verdict else None
    seconds, trained = row.mean("compared", "wall_s"), row.mean("cost", "params_trained")
    return [
        row.name,
        f"{row.scores.mean:.3f}",
        spread(row),
        seeds(row),
        f"{100 * comparison.behind:.1f}" if comparison else "",
        ("< 0.001" if comparison.p < 0.001 else f"{comparison.p:.3f}") if comparison else "",
        "" if seconds is None else f"{seconds:.1f}",
        "" if trained is None else f"{trained:,.0f}",
        marks(cell, row),
    ]


def marks(cell: Cell, row: Row) -> str:
    return ", ".join(part for part in ("textbook" if row.textbook else "", cell.mark(row)) if part)


def spread(row: Row) -> str:
    if not row.scores:
        return ""
    return f"{row.interval[0]:.3f} to {row.interval[1]:.3f}" if row.interval else "unknown"


def seeds(row: Row) -> str:
    """How many seeds (times folds) count; of how many, if some failed; a dagger for one."""
    tried = len({job.repeat for job in row.jobs})
    text = f"{len(row.counted)} of {tried}" if len(row.counted) < tried else str(tried)
    return f"{text} †" if len(row.counted) == 1 else text


def failed_table(sweep: Sweep) -> list[str]:
    lines = [markdown_row(["job", "settings", "error"]), markdown_row(["---:", "---", "---"])]
    return lines + [
        markdown_row([str(job.number), escape(settings_of(job, sweep)), escape(job.error)])
        for job in sweep.failed
    ]


def settings_of(job: Job, sweep: Sweep) -> str:
    """What this job did differently from the others."""
    if not (job.choices or job.overrides):
        return "unknown"
    named = [f"{key}={job.setting(key)}" for key in sweep.swept]
    named += [] if job.fold is None else [f"fold={job.fold}"]
    seed = job.overrides.get("seed") if job.seed is None else job.seed
    return ", ".join(named if seed is None else [*named, f"seed={seed}"])
