"""What of a sweep may be compared with what, who won there, and whether the textbook was right,
in words."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from regraft.figures.quadrants import QUADRANTS
from regraft.jobs import Job, called, planned_jobs, probes_in, read_answers, read_jobs, swept
from regraft.power import WANTED, visible_lead
from regraft.selection import select
from regraft.statistics import (
    LEVEL,
    Answers,
    Comparison,
    Repeat,
    Scores,
    Verdict,
    by_repetition,
    interval,
    judge,
)

MOST_NAMED = 12  # contenders that tie
INITIAL = "initial weights"  # what `pretrain` chooses, in a table's head
FEW_RUNS = 3  # with more, a tie is no matter of their number


@dataclass(frozen=True)
class Row:
    """One contender in one cell: all its jobs, those that count (finished, one per fold and seed,
    in this order), and their scores with 95 % interval, None if there are none."""

    name: str
    jobs: tuple[Job, ...]
    counted: tuple[Job, ...]
    scores: Scores | None
    interval: tuple[float, float] | None
    textbook: bool

    @property
    def forecasts(self) -> list[str]:
        """What the jobs forecast, in words; repetitions that say the same speak together."""
        said: dict[str, list[str]] = {}
        for job in self.counted:
            if job.forecast:
                fold = "" if job.fold is None else f" of fold {job.fold}"
                said.setdefault(job.forecast, []).append(f"{job.seed}{fold}")
        if len(said) < 2:
            return list(said)
        return [f"{words} (seed {', '.join(seeds)})" for words, seeds in said.items()]

    def mean(self, part: str, key: str) -> float | None:
        """The mean over the counted jobs of a number in `compared`, `cost` or `data`."""
        values = [getattr(job, part).get(key) for job in self.counted]
        numbers = [value for value in values if isinstance(value, int | float)]
        return math.fsum(numbers) / len(numbers) if numbers else None


@dataclass(frozen=True)
class Cell:
    """Jobs that may be compared: everything that was swept is the same, but for contender, fold
    and seed."""

    settings: dict[str, str]
    quadrant: str | None
    data: str
    rows: tuple[Row, ...]
    verdict: Verdict | None

    @property
    def title(self) -> str:
        named = (v if k == "quadrant" else f"{k}={v}" for k, v in self.settings.items())
        return ", ".join(named)

    @property
    def called(self) -> str:
        """What a reader calls the images that judge the jobs."""
        return called(job for row in self.rows for job in row.jobs)

    @property
    def one_seed(self) -> bool:
        return any(len(row.counted) == 1 for row in self.rows)

    def mark(self, row: Row) -> str:
        """winner, tie or nothing; where nobody competes nobody wins."""
        verdict = self.verdict
        if not verdict or not verdict.comparisons or row.name not in verdict.winners:
            return ""
        return "winner" if len(verdict.winners) == 1 else "tie"


@dataclass(frozen=True)
class Sweep:
    """A sweep's folder, read: its jobs, the settings that were swept (but seed and fold), and its
    cells."""

    folder: Path
    jobs: tuple[Job, ...]
    swept: tuple[str, ...]
    cells: tuple[Cell, ...]
    planned: int | None = None  # how many jobs there were to be, if that is known
    by: tuple[str, ...] = ()  # the settings that compete, if somebody said so

    @property
    def failed(self) -> list[Job]:
        return [job for job in self.jobs if job.error]

    @property
    def contender(self) -> str:
        """What a row of the tables is."""
        contenders = self.by or contenders_of(self.swept)
        if len(contenders) > 1:
            return "setting"
        return INITIAL if contenders[0] == "pretrain" else contenders[0]

    @property
    def seeds(self) -> list[int]:
        return sorted({job.seed for job in self.jobs if job.seed is not None})

    @property
    def folds(self) -> list[int]:
        return sorted({job.fold for job in self.jobs if job.fold is not None})

    @property
    def summary(self) -> str:
        """Counts, and what was swept."""
        keys = ", ".join(self.swept) or "nothing but the seed"
        seeds = ", ".join(map(str, self.seeds)) or "unknown"
        missing = max(0, (self.planned or 0) - len(self.jobs))
        never = f", {missing} never started" if missing else ""
        jobs = f"{len(self.jobs)} {'job' if len(self.jobs) == 1 else 'jobs'}"
        folds = f"; folds: {', '.join(map(str, self.folds))}" if self.folds else ""
        tried = sum(job.trial for job in self.jobs)
        trials = f", {tried} of trainer.fast_dev_run whose numbers say nothing" if tried else ""
        what = f"swept: {keys}; seeds: {seeds}{folds}"
        return f"{jobs}, {len(self.failed)} failed{never}{trials}; {what}."

    @property
    def textbook(self) -> str:
        """In how many cells the textbook's choice held; empty where there is none."""
        known = [held for cell in self.cells if (held := textbook_held(cell)) is not None]
        return f"The textbook's choice held in {sum(known)} of {len(known)} cells." if known else ""


def read_sweep(
    folder: Path, *, where: Mapping[str, str] | None = None, by: Sequence[str] = ()
) -> Sweep:
    """Read a sweep's folder: all jobs, or those `where` these settings have these values.

    `by` names the settings that compete, any keys of the config; without it the strategy does, else
    all that was swept and is no part of the problem. Raises RegraftError if the folder is no sweep,
    and for a key or value that no job has.
    """
    jobs = select(read_jobs(folder), where or {}, by)
    # What chose the others is no rival of theirs, but says what the sweep was over.
    first = 0 if where or by else probes_in(folder)
    keys = swept([job for job in jobs if job.number < first] or jobs)
    cells = cells_of([job for job in jobs if job.number >= first], keys, by)
    planned = None if where else planned_jobs(folder)
    return Sweep(
        folder, tuple(jobs), tuple(dict.fromkeys([*by, *keys])), tuple(cells), planned, tuple(by)
    )


def contenders_of(keys: Sequence[str]) -> list[str]:
    """Which of the swept settings compete: the strategy, else all that are not part of the
    problem."""
    rest = [key for key in keys if key.partition(".")[0] not in ("quadrant", "data")]
    return ["strategy"] if "strategy" in keys or not rest else rest


def cells_of(jobs: Sequence[Job], keys: Sequence[str], by: Sequence[str] = ()) -> list[Cell]:
    """The cells of a sweep over the settings `keys`, quadrants in the order of the grid. A job
    of which no setting is known is in none."""
    contenders = by or contenders_of(keys)
    outer = [key for key in keys if key not in contenders]
    places: dict[tuple[str, ...], list[Job]] = {}
    for job in jobs:
        if job.choices or job.overrides:
            places.setdefault(tuple(job.setting(key) for key in outer), []).append(job)
    cells = [
        cell_of(dict(zip(outer, place, strict=True)), members, contenders)
        for place, members in places.items()
    ]
    order = {name: rank for rank, name in enumerate(QUADRANTS)}
    return sorted(cells, key=lambda cell: order.get(cell.settings.get("quadrant", ""), len(order)))


def cell_of(settings: dict[str, str], jobs: Sequence[Job], contenders: Sequence[str]) -> Cell:
    """One cell, its rows in the order of the jobs."""
    quadrant = next((job.quadrant for job in jobs if job.quadrant in QUADRANTS), None)
    strategies = list(contenders) == ["strategy"]
    groups: dict[str, list[Job]] = {}
    for job in jobs:
        name = ", ".join(f"{key}={job.setting(key)}" for key in contenders)
        if list(contenders) == ["pretrain"]:
            name = job.setting("pretrain")
        groups.setdefault(job.strategy if strategies else name, []).append(job)
    rows = [
        row_of(name, members, quadrant if strategies else None) for name, members in groups.items()
    ]
    data = describe([job.data for job in jobs])
    verdict = verdict_of([row.scores for row in rows if row.scores])
    return Cell(settings, quadrant, data, tuple(rows), verdict)


def verdict_of(scores: Sequence[Scores]) -> Verdict | None:
    """Winner or tie, in which contenders that gave the very same answers count as one.

    `collect` is `feature_extraction` and a forecast: as a rival of its own it would turn every win
    of the two into a tie, and make the correction for many comparisons stricter.
    """
    twins: list[list[Scores]] = []
    for one in scores:
        same = next((group for group in twins if group[0].same_answers(one)), None)
        twins.append([one]) if same is None else same.append(one)
    if not twins:
        return None
    verdict = judge([group[0] for group in twins])
    names = {group[0].name: [one.name for one in group] for group in twins}
    comparisons = {
        name: comparison
        for first, comparison in verdict.comparisons.items()
        for name in names[first]
    }
    if comparisons or len(scores) > 1:
        comparisons |= {name: Comparison(0.0, 1.0) for name in names[verdict.best][1:]}
    winners = {name for first in verdict.winners for name in names[first]}
    return Verdict(
        verdict.best, tuple(one.name for one in scores if one.name in winners), comparisons
    )


def row_of(name: str, jobs: Sequence[Job], quadrant: str | None) -> Row:
    """One contender, judged by its finished jobs; of two with the same seed and fold the later."""
    finished = {job.repeat: job for job in jobs if job.acc is not None and job.repeat is not None}
    counted = [finished[repeat] for repeat in sorted(finished)]
    textbook = quadrant is not None and any(job.recommended_for == quadrant for job in jobs)
    if not counted:
        return Row(name, tuple(jobs), (), None, None, textbook)
    read = {
        repeat: read_answers(job.folder / "predictions.csv") for repeat, job in finished.items()
    }
    answers = {repeat: known for repeat, known in read.items() if known}
    scores = Scores(
        name,
        {repeat: job.acc for repeat, job in finished.items() if job.acc is not None},
        test_images(counted, answers),
        answers,
    )
    return Row(name, tuple(jobs), tuple(counted), scores, interval(scores), textbook)


def test_images(jobs: Sequence[Job], answers: Mapping[Repeat, Answers]) -> int | None:
    """On how many test images the jobs were judged, those of all folds together; None if that is
    not known. Of folds whose answers are not known only the smallest counts."""
    if len(answers) == len(jobs):
        return sum({known.images: len(known.correct) for known in answers.values()}.values())
    return min((n for job in jobs if (n := job.judged_on) is not None), default=None)


def describe(records: Sequence[Any]) -> str:
    """Data and size in words: "fractals, 20 classes × 5 images"."""
    data: dict[str, Any] = next((record for record in records if record.get("name")), {})
    name, classes, train = data.get("name", "data unknown"), data.get("classes"), data.get("train")
    if not (isinstance(classes, int) and isinstance(train, int) and classes > 0):
        return str(name)
    if train % classes == 0:
        return f"{name}, {classes} classes × {train // classes} images"
    return f"{name}, {classes} classes, {train} images"


def textbook_held(cell: Cell) -> bool | None:
    """Whether a strategy that the textbook recommends here won or tied; None if that was not
    measured."""
    chosen = [row for row in cell.rows if row.textbook and row.scores]
    if not chosen or not cell.verdict or not cell.verdict.comparisons:
        return None
    return any(row.name in cell.verdict.winners for row in chosen)


def sentence(cell: Cell) -> str:
    """Winner or tie in this cell, and whether the textbook's choice held."""
    if not cell.verdict:
        return "no job has a result."
    best = next(
        row.scores.mean for row in cell.rows if row.scores and row.name == cell.verdict.best
    )
    if len(cell.rows) == 1:
        return f"{cell.verdict.best} has {best:.3f}; nothing else was run to compare it with."
    if not cell.verdict.comparisons:
        return f"only {cell.verdict.best} has a result ({best:.3f}): nothing to compare it with."
    text = f"{cell.verdict.best} wins ({best:.3f})"
    if len(names := cell.verdict.winners) > 1:
        tied = f"{', '.join(names[:-1])} and {names[-1]}"
        if len(names) > MOST_NAMED:
            tied = f"{len(names)} of {len(cell.rows)}"
        text = (
            f"{tied} tie (best: {cell.verdict.best}, {best:.3f}){too_few_runs(cell, cell.verdict)}"
        )
    return f"{text}{textbook_clause(cell, cell.verdict) if cell.quadrant else ''}."


def lead_words(cell: Cell) -> str:
    """Which true lead these seeds and test images could have shown; empty where none is known."""
    doubts = [c.doubt for c in cell.verdict.comparisons.values()] if cell.verdict else []
    known = [doubt for doubt in doubts if doubt]
    if not known:
        return ""
    lead = visible_lead(known)
    what = "no lead" if lead is None else f"a lead of {100 * lead:.1f} points"
    often = f"would have been seen in {10 * WANTED:.0f} of 10 sweeps"
    if math.isinf(known[0].freedom):
        return f"With one seed, {what} of one network {often}; other seeds may give another"
    return f"With {repetitions(cell)}, {what} {often}"


def repetitions(cell: Cell) -> str:
    """How often each contender ran, in words: "3 seeds", "2 to 3 seeds" or "5 folds"."""
    scores = [row.scores for row in cell.rows if row.scores]
    counts = sorted({len(by_repetition(one.acc)) for one in scores})
    folds = {fold for one in scores for fold, _ in one.acc}
    number = " to ".join(map(str, dict.fromkeys((counts[0], counts[-1]))))
    return f"{number} {'folds' if len(folds) > 1 else 'seeds'}"


def too_few_runs(cell: Cell, verdict: Verdict) -> str:
    """Why contenders tie that the test images tell apart, as a clause; nothing for other ties."""
    tied = [verdict.comparisons[name] for name in verdict.winners if name in verdict.comparisons]
    if not any(one.behind > 0 and one.images_p < 1 - LEVEL for one in tied):
        return ""
    counts = [len(row.counted) for row in cell.rows if row.name in verdict.winners]
    if min(counts) > FEW_RUNS:
        return ""
    several = " to ".join(map(str, sorted({min(counts), max(counts)})))
    return f": {several} runs each cannot tell them apart"


def textbook_clause(cell: Cell, verdict: Verdict) -> str:
    """What became of the textbook's choice, as the end of a sentence."""
    chosen = [row for row in cell.rows if row.textbook]
    if not chosen:
        return "; the textbook's choice was not run" if len(cell.rows) > 1 else ""
    choice = f"; the textbook's choice, {' and '.join(row.name for row in chosen)},"
    if (held := textbook_held(cell)) is None:
        return f"{choice} has no result"
    if held:
        return f"{choice} held"
    gap = min(verdict.comparisons[row.name].behind for row in chosen if row.scores)
    return f"{choice} did not hold: {verdict.best} is better by {100 * gap:.1f} points"
