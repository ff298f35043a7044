"""Which backbone: candidates ranked by a probe, and what following each score has cost.

The probe's cross-validated accuracy decides, compared on the same images; the best few are trained,
and only what was trained says what a score's first choice has lost.
"""

import csv
import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from regraft.comparison import Row, row_of, verdict_of
from regraft.errors import RegraftError
from regraft.escaping import from_csv
from regraft.jobs import PROBED, Job, probes_in, read_job
from regraft.paths import shown
from regraft.statistics import Answers, Scores, Verdict, judge, paired

SEED = (-1, 0)  # a probe is asked once
PUBLISHED = "published.csv"  # in the sweep's folder: the table that it was given


@dataclass(frozen=True)
class Candidate:
    """One backbone: its probe, whose scores are {} if it failed, and its trainings, if any."""

    name: str
    probe: Job
    published: float | str  # top-1 in per cent, or why there is none
    asked: Scores | None  # the linear probe's answers
    trained: Row | None

    @property
    def scores(self) -> Mapping[str, Any]:
        return self.probe.scores if self.asked else {}


@dataclass(frozen=True)
class Regret:
    """What a score's first choice among those that were trained has lost on the test images."""

    score: str
    choice: str | None
    behind: float | None = None  # accuracy; 0 where it chose the best
    interval: tuple[float, float] | None = None  # 95 %, paired
    tie: bool = False  # whether it cannot be told apart from the best
    why: str = ""  # there is no choice


@dataclass(frozen=True)
class Ranking:
    """Candidates, the best probe first and those without one last; who ties with the best by probe;
    the verdict over those that were trained, and each score's regret."""

    candidates: tuple[Candidate, ...]
    by_probe: Verdict | None
    by_test: Verdict | None
    regrets: tuple[Regret, ...]

    @property
    def trained(self) -> list[Candidate]:
        return [one for one in self.candidates if one.trained and one.trained.scores]

    @property
    def sentence(self) -> str:
        """What the probes and the trainings say, in words."""
        if self.by_probe is None:
            return "No probe has a result."
        first, tied = (
            self.by_probe.best,
            [n for n in self.by_probe.winners if n != self.by_probe.best],
        )
        text = f"The probe's first choice is {first}"
        text += f"; {_list(tied)} cannot be told from it" if tied else ""
        if self.by_test is None or not self.by_test.comparisons:
            return f"{text}. Fewer than two were trained, so what it is worth was not measured."
        winners = self.by_test.winners
        found = f"{winners[0]} is the best" if len(winners) == 1 else f"{_list(winners)} tie"
        return f"{text}. Of the {len(self.trained)} that were trained, {found}."


# What says which backbone is the best: a larger value is said to be better.
SCORES: dict[str, Callable[[Candidate], float | None]] = {
    "linear probe": lambda one: _acc(one, "linear"),
    "kNN": lambda one: _acc(one, "neighbours"),
    "LogME": lambda one: one.scores.get("logme"),
    "H-score": lambda one: one.scores.get("hscore"),
    "ImageNet top-1": lambda one: one.published if isinstance(one.published, float) else None,
    "parameters": lambda one: one.scores.get("params"),
}


def read(folder: Path, jobs: Sequence[Job]) -> Ranking | None:
    """The ranking of a sweep's folder, whose jobs these are; None if the sweep is none."""
    probes = probes_in(folder)
    return ranking(jobs, probes, published_in(folder)) if probes else None


def best(folder: Path, probes: int, count: int) -> list[int]:
    """The numbers of the best candidates by probe, at most so many.

    Raises RegraftError if no probe has a result.
    """
    found = {number: asked(read_job(folder / str(number))) for number in range(probes)}
    known = {number: scores.mean for number, scores in found.items() if scores}
    if not known:
        raise RegraftError(f"none of the {probes} candidates has a probe's result: none is trained")
    return sorted(known, key=lambda number: -known[number])[:count]


def ranking(jobs: Sequence[Job], probes: int, published: Mapping[str, float] | None) -> Ranking:
    """Rank the candidates of which the first jobs are the probes and the others trainings."""
    asks = [job for job in jobs if job.number < probes]
    keys = [
        k
        for k in dict.fromkeys(k for j in asks for k in (*j.choices, *j.overrides))
        if k.partition(".")[0] == "backbone" and len({j.setting(k) for j in asks}) > 1
    ]
    candidates = []
    for job in asks:
        name = _name(job, keys)
        own = [j for j in jobs if j.number >= probes and _name(j, keys) == name]
        trained = row_of(name, own, None) if own else None
        candidates.append(
            Candidate(name, job, _published(job, published), asked(job, name), trained)
        )
    candidates.sort(key=lambda one: -one.asked.mean if one.asked else math.inf)
    told = [one.asked for one in candidates if one.asked]
    tested = [one.trained.scores for one in candidates if one.trained and one.trained.scores]
    verdict = verdict_of(tested)
    regrets = [_regret(score, candidates, verdict) for score in SCORES]
    return Ranking(tuple(candidates), judge(told) if told else None, verdict, tuple(regrets))


def asked(job: Job, name: str = "") -> Scores | None:
    """What the linear probe said of the training images; None if there is no result."""
    acc = _of(job.scores, "linear", "acc")
    if acc is None or job.error:
        return None
    images, answers = job.scores.get("images"), _read_answers(job.folder / PROBED)
    return Scores(
        name,
        {SEED: acc},
        images if isinstance(images, int) and images > 0 else None,
        {SEED: answers} if answers else {},
    )


def first_choice(score: str, candidates: Sequence[Candidate]) -> Candidate | str:
    """Whom a score puts first; in words why it puts nobody there."""
    values = [SCORES[score](one) for one in candidates]
    for one, value in zip(candidates, values, strict=True):
        if value is None:
            why = one.published if score == "ImageNet top-1" else "not known"
            return f"{one.name}: {why}"
    first = max(value for value in values if value is not None)
    chosen = [one for one, value in zip(candidates, values, strict=True) if value == first]
    return chosen[0] if len(chosen) == 1 else f"the same of {_list([c.name for c in chosen])}"


def _regret(score: str, candidates: Sequence[Candidate], verdict: Verdict | None) -> Regret:
    trained = [one for one in candidates if one.trained and one.trained.scores]
    if verdict is None or len(trained) < 2:
        return Regret(score, None, why="fewer than two were trained")
    choice = first_choice(score, trained)
    if isinstance(choice, str):
        return Regret(score, None, why=choice)
    if choice.name == verdict.best:
        return Regret(score, choice.name, 0.0)
    rows = {one.name: one.trained.scores for one in trained if one.trained}
    first, second = rows[verdict.best], rows[choice.name]
    assert first and second
    tie = choice.name in verdict.winners
    behind = verdict.comparisons[choice.name].behind
    return Regret(score, choice.name, behind, paired(first, second), tie)


def published_in(folder: Path) -> dict[str, float] | None:
    """What the sweep was given of published accuracies; None for nothing."""
    return read_published(folder / PUBLISHED) if (folder / PUBLISHED).exists() else None


def read_published(path: Path) -> dict[str, float]:
    """Top-1 accuracy on ImageNet, in per cent, by timm's name with its tag.

    Raises RegraftError for a file that is no such table.
    """
    where = f"hydra.sweeper.published={shown(path)}"
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return {row["model"]: float(row["top1"]) for row in csv.DictReader(file)}
    except OSError as error:
        raise RegraftError(f"{where}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, csv.Error) as error:
        raise RegraftError(
            f"{where}: wants a CSV table with the columns model and top1, as "
            f"results-imagenet.csv in timm's repository"
        ) from error


def _published(job: Job, table: Mapping[str, float] | None) -> float | str:
    """The published accuracy of a candidate's weights, or why there is none."""
    if not job.scores:
        return "not known"
    if job.scores.get("weights") != "pretrained":
        return "other weights"
    if table is None:
        return "not shipped"
    return table.get(str(job.backbone), "not listed")


def _read_answers(path: Path) -> Answers | None:
    """Which training images the linear probe told right; None if that cannot be read."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = [(from_csv(r["name"]), r["true"], r["linear"]) for r in csv.DictReader(file)]
    except (OSError, ValueError, KeyError, TypeError, csv.Error):
        return None
    same = "\0".join(f"{name}\0{true}" for name, true, _ in rows)
    right = np.array([answer == "1" for _, _, answer in rows], dtype=bool)
    return Answers(hashlib.sha256(same.encode()).hexdigest(), right) if rows else None


def _name(job: Job, keys: Sequence[str]) -> str:
    """A candidate in few words: the option or timm's name, and what else tells it from others."""
    named = ("backbone", "backbone.name")
    return ", ".join(
        f"{'' if key in named else key.removeprefix('backbone.') + '='}{job.setting(key)}"
        for key in keys
    )


def _acc(one: Candidate, probe: str) -> float | None:
    return _of(one.scores, probe, "acc")


def _of(scores: Mapping[str, Any], probe: str, key: str) -> float | None:
    part = scores.get(probe)
    value = part.get(key) if isinstance(part, dict) else None
    return float(value) if isinstance(value, int | float) else None


def _list(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
