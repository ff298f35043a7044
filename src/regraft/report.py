"""A sweep's tables and pictures: a pure function of what its jobs have left in its folder, so they
can be made again at any time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from regraft import regret, shortlist
from regraft.comparison import INITIAL, Cell, Row, Sweep, lead_words, read_sweep, sentence
from regraft.errors import RegraftError
from regraft.escaping import printable
from regraft.figures import fonts, labels, pareto, quadrants
from regraft.jobs import called, font_of
from regraft.paths import write_whole
from regraft.ranking import Ranking
from regraft.ranking import read as read_ranking
from regraft.tables import (
    ONE_SEED,
    csv_table,
    heading,
    markdown,
    marks,
    seeds,
    settings_of,
    spread,
)

# Settings that say how many labels there are, and what they count.
LABELS = {"data.per_class": "labels per class", "data.fraction": "share of the labels"}


@dataclass(frozen=True)
class Report:
    """What a sweep's folder says, and the files that were written about it."""

    sweep: Sweep
    files: tuple[Path, ...]
    ranking: Ranking | None = None


def report(folder: Path) -> Report:
    """Read every job of a sweep; write sweep.csv, sweep.md and, for several quadrants,
    quadrants.png; of a ranking of backbones backbones.csv and backbones.png; where `strategy=auto`
    was compared, regret.json. What its jobs have written stays as it is.

    Raises RegraftError if the folder is no sweep or cannot be written to.
    """
    sweep = read_sweep(folder)
    ranking = read_ranking(folder, sweep.jobs)
    try:
        pictures = draw(sweep, ranking)
        texts = {"sweep.csv": csv_table(sweep)}
        if ranking:
            texts["backbones.csv"] = shortlist.csv_table(ranking)
        first = shortlist.markdown(ranking) if ranking else ()
        if lost := regret.as_json(sweep):
            texts["regret.json"] = lost
        texts["sweep.md"] = markdown(sweep, pictures, first)
        for name, text in texts.items():
            write_whole(folder / name, text.encode("utf-8", "replace"))
    except OSError as error:
        raise RegraftError(f"cannot write the report into {folder}: {error.strerror}") from error
    return Report(sweep, (*(folder / name for name in texts), *pictures), ranking)


def draw(sweep: Sweep, ranking: Ranking | None) -> list[Path]:
    """Draw the pictures of a sweep, with the font that its jobs asked for."""
    with fonts.asked_first(next(filter(None, (font_of(job.record) for job in sweep.jobs)), None)):
        first = [shortlist.draw(ranking, sweep.folder / "backbones.png")] if ranking else []
        return [*first, *draw_labels(sweep), *draw_quadrants(sweep), *draw_pareto(sweep)]


def of_some(folder: Path, *, where: Mapping[str, str], by: Sequence[str]) -> Report:
    """The same of some of a sweep's jobs, or with other contenders, for the terminal alone.

    See `comparison.read_sweep` for `where` and `by`, and what is raised.
    """
    return Report(read_sweep(folder, where=where, by=by), ())


def show(made: Report, console: Console) -> None:
    """Print a table and a verdict per cell, the failed jobs, and where the files are."""
    sweep = made.sweep
    console.print(Text(sweep.summary))
    if made.ranking:
        shortlist.show(made.ranking, console)
    for cell in sweep.cells:
        console.print(Text(f"\n{heading(cell)}", style="bold"))
        console.print(cell_table(cell, sweep.contender))
        if cell.one_seed:
            console.print(Text(f"† {ONE_SEED.format(cell.called)}", style="dim"))
        console.print(Text(printable(sentence(cell))))
        if lead := lead_words(cell):
            console.print(Text(f"{lead}.", style="dim"))
        for row in cell.rows:
            for words in row.forecasts:
                console.print(Text(printable(f"{row.name}: {words}"), style="italic"))
    console.print()
    for job in sweep.failed:
        line = f"job {job.number} failed ({settings_of(job, sweep)}): {job.error}"
        console.print(Text(printable(line), style="red"))
    if sweep.textbook:
        console.print(Text(sweep.textbook, style="bold"))
    for place, lost in regret.regrets(sweep).items():
        console.print(Text(printable(f"{place}: {lost.words}"), style="bold"))
    if not made.files:
        return
    names = ", ".join(path.name for path in made.files)
    console.print(Text(f"{names} in {sweep.folder}"), soft_wrap=True)


def cell_table(cell: Cell, contender: str) -> Table:
    """A cell in the terminal, a line per contender."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
    table.add_column(contender, min_width=18, overflow="fold")
    for name, width in (
        (f"{cell.called} acc", 8),
        ("95 % interval", 14),
        ("runs", 6),
        ("s/run", 6),
    ):
        table.add_column(name, justify="right", min_width=width)
    table.add_column("")
    for row in cell.rows:
        table.add_row(*line(cell, row))
    return table


def line(cell: Cell, row: Row) -> list[Text]:
    """One contender in the terminal's table."""
    seconds = row.mean("compared", "wall_s")
    texts = [
        printable(row.name),
        f"{row.scores.mean:.3f}" if row.scores else "failed",
        spread(row),
        seeds(row),
        "" if seconds is None else f"{seconds:.1f}",
        marks(cell, row),
    ]
    style = "bold" if cell.mark(row) else "" if row.scores else "red"
    return [Text(text, style=style) for text in texts]


def draw_labels(sweep: Sweep) -> list[Path]:
    """labels.png where kinds of initial weights were compared over how many labels there are."""
    others = [key for key in sweep.swept if key != "pretrain"]
    if sweep.contender != INITIAL or len(others) != 1 or others[0] not in LABELS:
        return []
    lines: dict[str, list[labels.Place]] = {}
    for cell in sweep.cells:
        try:
            size = float(cell.settings[others[0]])
        except ValueError:  # null: as many as there are
            continue
        for row in (row for row in cell.rows if row.scores):
            place = labels.Place(size, row.scores.mean, row.interval)  # type: ignore[union-attr]
            lines.setdefault(printable(row.name), []).append(place)
    if not lines:
        return []
    path = sweep.folder / "labels.png"
    ordered = {name: sorted(found, key=lambda p: p.labels) for name, found in lines.items()}
    of = called(sweep.jobs)
    labels.draw(ordered, path, title=title(sweep, ""), axis=LABELS[others[0]], of=of)
    return [path]


def draw_quadrants(sweep: Sweep) -> list[Path]:
    """quadrants.png when several quadrants were swept; when something else was too, there is a
    further picture (quadrants-2.png …) for each of its values."""
    grids: dict[str, list[Cell]] = {}
    for cell in sweep.cells:
        named = (f"{key}={value}" for key, value in cell.settings.items() if key != "quadrant")
        if cell.quadrant and "quadrant" in sweep.swept:
            grids.setdefault(", ".join(named), []).append(cell)
    paths = []
    for number, (others, cells) in enumerate(grids.items(), start=1):
        path = sweep.folder / ("quadrants.png" if number == 1 else f"quadrants-{number}.png")
        panels = {cell.quadrant: panel(cell) for cell in cells if cell.quadrant}
        quadrants.draw(panels, path, title=title(sweep, others), footnote=footnote(sweep, cells))
        paths.append(path)
    return paths


def draw_pareto(sweep: Sweep) -> list[Path]:
    """pareto.png, accuracy over what it cost, where at least two contenders have a result."""
    points = {
        heading(cell): [
            pareto.Point(printable(row.name), row.scores.mean, row.interval, costs_of(row))
            for row in cell.rows
            if row.scores
        ]
        for cell in sweep.cells
    }
    competed = {name: cell for name, cell in points.items() if len(cell) > 1}
    if not competed:
        return []
    path = sweep.folder / "pareto.png"
    both = title(sweep, "").replace("accuracy", "accuracy and cost", 1)
    pareto.draw(competed, path, title=both, of=called(sweep.jobs))
    return [path]


def costs_of(row: Row) -> dict[str, float]:
    """The mean of each cost over a contender's jobs, where it is known."""
    means = {key: row.mean("compared", key) for key in pareto.COSTS}
    return {key: mean for key, mean in means.items() if mean is not None}


def panel(cell: Cell) -> quadrants.Panel:
    """A cell as it is drawn; of the forecasts of several seeds the first speaks."""
    bars = [
        quadrants.Bar(
            printable(row.name),
            row.scores.mean if row.scores else None,
            row.interval,
            row.textbook,
            cell.mark(row),
            printable(row.forecasts[0]) if row.forecasts else "" if row.scores else "failed",
        )
        for row in cell.rows
    ]
    return quadrants.Panel(printable(cell.data), tuple(bars))


def title(sweep: Sweep, others: str) -> str:
    """What the picture shows: the backbone if it is the same everywhere, and what else was
    swept."""
    backbones = {job.choices.get("backbone") for job in sweep.jobs} - {None}
    same = f"backbone {backbones.pop()}" if len(backbones) == 1 else ""
    whose = f"by {INITIAL}" if sweep.contender == INITIAL else f"of each {sweep.contender}"
    if sweep.contender == INITIAL and len(how := {job.strategy for job in sweep.jobs}) == 1:
        others = others or f"strategy {how.pop()}"
    parts = (f"{called(sweep.jobs).capitalize()} accuracy {whose}", same, others)
    return printable(", ".join(part for part in parts if part))


def footnote(sweep: Sweep, cells: Sequence[Cell]) -> str:
    """What the intervals are, and how the textbook fared."""
    counts = sorted({len(row.counted) for cell in cells for row in cell.rows if row.counted})
    text = ONE_SEED.format(called(sweep.jobs)).capitalize()
    if counts and counts[-1] > 1:
        number = "–".join(str(n) for n in dict.fromkeys((counts[0], counts[-1])))
        judged = f"{called(sweep.jobs)} images"
        text = f"Means of {number} runs; intervals at least as wide as over the {judged}"
    return f"Bars run from 0 to 1. {text}. {sweep.textbook}"
