"""Which runs can be combined: finished ones that judged the same images of the same classes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from regraft import predictions
from regraft.calibration import Calibration, logits_of
from regraft.ensemble.combine import Score, score
from regraft.errors import RegraftError
from regraft.escaping import printable
from regraft.jobs import Job, is_job, load_result, read_job, read_jobs, swept, table
from regraft.paths import shown
from regraft.predictions import Said
from regraft.selection import select

SPLITS = ("val", "test")


@dataclass(frozen=True, eq=False)
class Member:
    """A finished run, what it is called, what tells it from the others, and what it said.

    Of each split float32 (N, C), in whole multiples of `predictions.UNIT`: sums of them are exact.
    """

    job: Job
    label: str  # short
    name: str
    said: Mapping[str, np.ndarray]
    val: Score


@dataclass(frozen=True, eq=False)
class Members:
    """Runs that can be combined, the best on the validation split first.

    Images are in the order of their names and classes in that of theirs, so that no answer
    depends on the order in which a run has them.
    """

    runs: tuple[Member, ...]
    classes: tuple[str, ...]
    names: Mapping[str, tuple[str, ...]]  # of the images, by split
    labels: Mapping[str, np.ndarray]  # int (N,), by split
    left_out: tuple[Job, ...] = field(default=())  # what has no result

    def of(self, split: str) -> list[np.ndarray]:
        """What each member said of a split's images, (N, C)."""
        return [run.said[split] for run in self.runs]


def gather(folders: Sequence[Path], where: Mapping[str, str]) -> Members:
    """The finished runs in these folders of sweeps and runs, of those `where` keys have values.

    Raises RegraftError for fewer than two, and for runs that have no probabilities, or judged
    other images or classes than the first.
    """
    jobs = select(_jobs(folders), where, ())
    if trials := [job for job in jobs if job.trial]:
        raise RegraftError(
            f"{shown(trials[0].folder)}: this run was a trial (trainer.fast_dev_run), which says "
            "nothing; train it without that"
        )
    finished = [job for job in jobs if not job.error]
    left_out = tuple(job for job in jobs if job.error)
    if len(finished) < 2:
        there = f"{len(finished)} finished run{'s' * (len(finished) != 1)}"
        more = f", {len(left_out)} without a result ({left_out[0].error})" if left_out else ""
        raise RegraftError(
            f"{', '.join(map(shown, folders))}: {there}{more}; an ensemble needs at least two: "
            "give a sweep, or several runs"
        )
    keys = swept(finished)
    first, reference = finished[0], _read(finished[0])
    runs = []
    for job in finished:
        one = reference if job is first else _read(job)
        _refuse_others(first, reference, job, one, keys)
        said = {split: of.units().astype(np.float32) for split, of in one.splits.items()}
        name, label = _name(job, keys, finished), _label(job, finished)
        runs.append(
            Member(job, label, name, said, score(said["val"], reference.splits["val"].true))
        )
    runs.sort(key=lambda run: run.val.rank, reverse=True)  # equals stay in their order
    return Members(
        tuple(runs),
        reference.classes,
        {split: one.names for split, one in reference.splits.items()},
        {split: one.true for split, one in reference.splits.items()},
        left_out,
    )


def _jobs(folders: Sequence[Path]) -> list[Job]:
    """All jobs in the folders, each once, in an order that is not that of the folders."""
    found = {}
    for folder in folders:
        for job in [read_job(folder)] if is_job(folder) else read_jobs(folder):
            found[job.folder.resolve()] = job
    return [found[place] for place in sorted(found, key=lambda p: (p.parent, len(p.name), p.name))]


@dataclass(frozen=True, eq=False)
class _Table:
    classes: tuple[str, ...]
    splits: Mapping[str, Said]


def _read(job: Job) -> _Table:
    """A run's predictions, in the order of the names of images and classes."""
    path = job.folder / predictions.NAME
    classes, splits = predictions.read(path)
    heat = _heat_of_before(job.folder)
    if missing := [split for split in SPLITS if split not in splits]:
        raise RegraftError(f"{shown(path)} holds no {missing[0]} images")
    order = np.array(sorted(range(len(classes)), key=classes.__getitem__))
    return _Table(
        tuple(classes[number] for number in order),
        {split: _sorted(_calibrated(splits[split], heat), order) for split in SPLITS},
    )


def _heat_of_before(folder: Path) -> float | None:
    """The temperature of a run whose predictions.csv is not calibrated: those of today's are, and
    say on how many images that stands."""
    known = table(load_result(folder / "result.json")[0], "calibration")
    heat = known.get("temperature")
    return heat if "images" not in known and isinstance(heat, float) and heat > 0 else None


def _calibrated(said: Said, heat: float | None) -> Said:
    if heat is None:
        return said
    shares = Calibration(heat).apply(logits_of(said.probabilities))
    return replace(said, probabilities=shares)


def _sorted(said: Said, order: np.ndarray) -> Said:
    place = np.argsort(order)  # where each class has gone
    true, predicted = place[said.true], place[said.predicted]
    # An image may be named twice, and then counts twice.
    rows = np.array(sorted(range(len(true)), key=lambda row: (said.names[row], true[row])))
    names = tuple(said.names[row] for row in rows)
    return Said(names, true[rows], predicted[rows], said.probabilities[np.ix_(rows, order)])


def _refuse_others(first: Job, one: _Table, job: Job, other: _Table, keys: Sequence[str]) -> None:
    """Raises RegraftError, saying which, if a run knows other classes or judged other images."""
    differ = [k for k in keys if k.startswith(("data", "quadrant")) and _differ(first, job, k)]
    hint = f"{differ[0]}={first.setting(differ[0])}" if differ else "KEY=VALUE"
    whom = f"{shown(job.folder)} {{}} than {shown(first.folder)}"
    if one.classes != other.classes:
        what = _only(one.classes, other.classes)
        why = f"{whom.format('has other classes')}, as {what}"
        raise RegraftError(f"{why}; combine runs on the same data: --where {hint}")
    for split in SPLITS:
        mine, theirs = one.splits[split], other.splits[split]
        if mine.names != theirs.names:
            what = _only(mine.names, theirs.names)
            why = f"{whom.format(f'was judged on other {split} images')}, as {what}"
            raise RegraftError(f"{why}; combine runs that share them: --where {hint}")
        if (wrong := np.flatnonzero(mine.true != theirs.true)).size:
            name = printable(mine.names[wrong[0]])
            was, now = (printable(one.classes[t.true[wrong[0]]]) for t in (mine, theirs))
            why = f"{whom.format(f'knows other {split} labels')}: {name} is '{now}', not '{was}'"
            raise RegraftError(f"{why}; combine runs that share them: --where {hint}")


def _differ(first: Job, second: Job, key: str) -> bool:
    return first.setting(key) != second.setting(key)


def _only(first: Sequence[str], second: Sequence[str]) -> str:
    """What one of two has and the other has not, in words."""
    for here, there, has in ((second, first, "only it has"), (first, second, "it lacks")):
        if more := sorted({*here} - {*there}):
            return f"{has} '{printable(more[0])}'"
    return f"it has {len(second)}, not {len(first)}"


def _name(job: Job, keys: Sequence[str], jobs: Sequence[Job]) -> str:
    """What this run did differently from the others."""
    named = [f"{key}={job.setting(key)}" for key in keys]
    for key in ("fold", "seed"):
        if len({getattr(one, key) for one in jobs}) > 1:
            named.append(f"{key}={getattr(job, key)}")
    return printable(", ".join(named))


def _label(job: Job, jobs: Sequence[Job]) -> str:
    """As little of a run's path as tells it from the others."""
    paths = [one.folder.absolute().parts for one in jobs]
    own, depth = job.folder.absolute().parts, 1
    while sum(parts[-depth:] == own[-depth:] for parts in paths) > 1:
        depth += 1
    return printable("/".join(own[-depth:]))
