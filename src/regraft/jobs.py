"""A sweep's folder as values: its jobs as their `result.json` tells them, and which settings
were swept."""

import csv
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import OmegaConf

from regraft.errors import RegraftError
from regraft.escaping import from_csv
from regraft.masking import masked
from regraft.paths import SWEEP
from regraft.statistics import Answers, Repeat

NO_RESULT = "no result was written: the job is still running, or it was killed"
PROBED = "probe.csv"  # of strategy=probe: which training images were told right
CALLED = {"val": "validation", "test": "test"}  # what a reader calls the split that judges
# Asked first when nobody wrote down what was swept: these say why the other choices differ.
FIRST = ("quadrant", "data", "backbone", "strategy")


@dataclass(frozen=True)
class Job:
    """One job of a sweep; `acc` (test accuracy, or that of val where there is no test) is None when
    there is none, and `error` then says why. `record` is its result.json as it was read, once; {}
    if that could not be."""

    number: int
    folder: Path
    status: str
    error: str | None
    acc: float | None
    choices: Mapping[str, str]
    overrides: Mapping[str, str]
    seed: int | None
    fold: int | None  # of a cross-validation
    strategy: str
    recommended_for: str | None  # the quadrant that the textbook recommends the strategy for
    quadrant: str | None  # the quadrant it ran in
    metrics: Mapping[str, Any]
    cost: Mapping[str, Any]
    data: Mapping[str, Any]
    forecast: str | None  # in words
    advice: Mapping[str, Any] = field(default_factory=dict)  # of strategy=auto
    scores: Mapping[str, Any] = field(default_factory=dict)  # of the features, by strategy=probe
    backbone: str | None = None  # timm's name
    pretrain: Mapping[str, Any] = field(default_factory=dict)  # of pretrain=
    trial: bool = False  # of trainer.fast_dev_run, whose numbers say nothing
    record: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def compared(self) -> dict[str, Any]:
        """`cost`, whose seconds have in them what making pretrained weights took, but not what this
        job's phase did: it found them, or waited, where another job of the sweep came first."""
        of = (self.cost.get("wall_s"), self.cost.get("pretrain_s"), self.pretrain.get("seconds"))
        if len(known := [number for number in of if isinstance(number, int | float)]) < len(of):
            return dict(self.cost)
        wall, making, phase = known
        return {**self.cost, "wall_s": max(wall - phase, 0) + making}

    @property
    def judged_by(self) -> str:
        """The split whose accuracy `acc` is: "test", or "val" where there is no test."""
        return judge(self.data)

    @property
    def called(self) -> str:
        """What a reader calls the images that judge it."""
        return CALLED[self.judged_by]

    @property
    def judged(self) -> dict[str, Any]:
        """The metrics of the split that judges it, by their names without the split."""
        split = f"{self.judged_by}/"
        own = (key for key in self.metrics if key.startswith(split))
        return {key.removeprefix(split): self.metrics[key] for key in own}

    @property
    def judged_on(self) -> int | None:
        """How many images `acc` is about; None if that is not known."""
        images = self.data.get(self.judged_by)
        return images if isinstance(images, int) and images > 0 else None

    @property
    def repeat(self) -> Repeat | None:
        """What tells repetitions of one setting apart; None if the seed is not known."""
        return None if self.seed is None else (-1 if self.fold is None else self.fold, self.seed)

    def setting(self, key: str) -> str:
        return self.choices.get(key) or self.overrides.get(key, "default")


def judge(data: Mapping[str, Any]) -> str:
    """The split that judges a run on these data: "val" if it is known that there is no test."""
    return "val" if data.get("test") == 0 else "test"


def called(jobs: Iterable[Job]) -> str:
    """What a reader calls the images that judge these jobs."""
    words = {job.called: None for job in jobs if job.acc is not None}
    return " or ".join(words) or CALLED["test"]


def read_jobs(folder: Path) -> list[Job]:
    """All jobs of a sweep's folder by number; RegraftError if the folder is not one."""
    if not folder.is_dir():
        raise RegraftError(f"{folder} is not a folder; give the folder of a sweep or of a job")
    numbered = (path for path in folder.iterdir() if path.name.isascii() and path.name.isdigit())
    found = [path for path in numbered if is_job(path)]
    if not found:
        raise RegraftError(
            f"{folder} is no sweep (outputs/sweeps/<date>/<time>), as it holds no job folders "
            "0, 1, 2 …, and no job (outputs/runs/<date>/<time>), as it holds no result.json"
        )
    return [read_job(path) for path in sorted(found, key=lambda path: (int(path.name), path.name))]


def is_job(folder: Path) -> bool:
    """Whether one job ran in this folder, in a sweep or alone."""
    return (folder / "result.json").exists() or (folder / ".hydra").is_dir()


def planned_jobs(folder: Path) -> int | None:
    """How many jobs a sweep was to have, as it wrote down at its start."""
    try:
        count = json.loads((folder / SWEEP).read_text(encoding="utf-8"))["jobs"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return count if isinstance(count, int) else None


def probes_in(folder: Path) -> int:
    """How many of a sweep's first jobs are probes by which it chose the others (finalists.py)."""
    try:
        then = json.loads((folder / SWEEP).read_text(encoding="utf-8"))["then"]
    except (OSError, ValueError, KeyError, TypeError):
        return 0
    return len(then) if isinstance(then, list) else 0


def read_job(folder: Path) -> Job:
    """One job, whatever is left of it."""
    record, error = load_result(folder / "result.json")
    written = record if record else from_hydra(folder / ".hydra")
    choices = {
        key: str(value)
        for key, value in table(written, "choices").items()
        if value is not None and not key.startswith("hydra/")
    }
    listed = written.get("overrides")
    overrides = dict(map(split_override, listed if isinstance(listed, list) else []))
    seed = record.get("seed", whole(overrides.get("seed")))
    seed = seed if type(seed) is int else None  # a job may have failed for what it was given
    metrics, strategy = metrics_of(record), table(record, "strategy")
    judged = judge(table(record, "data"))
    acc = metrics.get(f"{judged}/acc")
    acc = float(acc) if isinstance(acc, int | float) and 0 <= acc <= 1 else None
    if not error and (acc is None or seed is None):
        error = f"finished, but result.json holds no {f'{judged}/acc' if acc is None else 'seed'}"
    return Job(
        number=whole(folder.name) or 0,  # of a sweep; a run alone has none
        folder=folder,
        status="finished" if record.get("status") == "finished" else "failed",
        error=error,
        acc=None if error else acc,
        choices=choices,
        overrides=overrides,
        seed=seed,
        fold=whole(overrides.get("data.fold")),
        strategy=choices.get("strategy") or strategy.get("name") or "unknown",
        recommended_for=strategy.get("quadrant"),
        quadrant=table(record, "quadrant").get("name") or choices.get("quadrant"),
        metrics=metrics,
        cost=table(record, "cost"),
        data=table(record, "data"),
        forecast=forecast_words(table(record, "forecast")),
        advice=table(record, "advice"),
        scores=table(record, "scores"),
        backbone=record.get("backbone"),
        pretrain=table(record, "pretrain"),
        trial=record.get("trial") is True,
        record=record,
    )


def forecast_words(forecast: Mapping[str, Any]) -> str | None:
    """What a forecast says, and to which end."""
    words, target = forecast.get("words"), forecast.get("target_acc")
    if not isinstance(words, str) or target is None or str(target) in words:
        return words if isinstance(words, str) else None
    return f"for an accuracy of {target}: {words}"


def load_result(path: Path) -> tuple[dict[str, Any], str | None]:
    """The record, empty when it cannot be read, and the error of a job that did not finish."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}, NO_RESULT
    except (OSError, ValueError, RecursionError) as error:
        return {}, f"result.json is damaged: {error}"
    if not isinstance(record, dict) or not isinstance(record.get("status"), str):
        return {}, "result.json is damaged: it has no status"
    if record["status"] in ("failed", "interrupted"):
        return record, str(record.get("error") or "failed without a message")
    return record, None if record["status"] == "finished" else NO_RESULT


def from_hydra(folder: Path) -> dict[str, Any]:
    """Choices and overrides as Hydra wrote them before the job began; {} if it did not."""
    try:
        overrides = OmegaConf.to_container(OmegaConf.load(folder / "overrides.yaml"))
        choices = OmegaConf.load(folder / "hydra.yaml").hydra.runtime.choices
        return masked({"overrides": overrides, "choices": OmegaConf.to_container(choices)})
    except Exception:  # whatever is wrong with the files, the job is listed as failed already
        return {}


def table(record: Mapping[str, Any], key: str) -> dict[str, Any]:
    """A part of a record, which a failed job may lack or hold as null."""
    value = record.get(key)
    return value if isinstance(value, dict) else {}


def metrics_of(record: Mapping[str, Any]) -> dict[str, Any]:
    """The metrics of a result, by their names of today.

    Before probabilities were calibrated everywhere, `test/ece` was that of the network as it is.
    """
    found = dict(table(record, "metrics"))
    if "test/ece_calibrated" in found and "test/ece_uncalibrated" not in found:
        found["test/ece_uncalibrated"] = found.get("test/ece")
        found["test/ece"] = found["test/ece_calibrated"]
    return found


def font_of(result: Mapping[str, Any]) -> str | None:
    """The font that a run asked for its pictures (figures.font)."""
    font = table(result, "figures").get("font")
    return font if isinstance(font, str) else None


def split_override(text: str) -> tuple[str, str]:
    key, _, value = str(text).partition("=")
    return key.lstrip("+"), value


def whole(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdigit() else None


def swept(jobs: Sequence[Job]) -> list[str]:
    """The settings other than seed and fold in which jobs differ: overrides that vary, and choices
    that vary for no reason seen in these. Jobs that agree in all of them are replicates."""
    known = [job for job in jobs if job.choices or job.overrides]
    keys = [
        key
        for key in dict.fromkeys(key for job in known for key in job.overrides)
        if key not in ("seed", "data.fold") and len({job.setting(key) for job in known}) > 1
    ]
    choices = dict.fromkeys([*FIRST, *sorted({key for job in known for key in job.choices})])
    for key in choices:
        seen: dict[tuple[str, ...], str] = {}
        for job in known:
            where = tuple(job.setting(k) for k in keys)
            if seen.setdefault(where, job.setting(key)) != job.setting(key):
                keys.append(key)
                break
    return keys


def read_answers(path: Path) -> Answers | None:
    """Which test images a run got right, or val images where there is no test, from its
    predictions.csv; None if that cannot be read."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = csv.reader(first_columns(file))
            if next(rows)[:4] != ["split", "name", "true", "predicted"]:
                return None
            cells = (map(from_csv, row[1:4]) for row in judging(rows))
            test = sorted((name, true, predicted) for name, true, predicted in cells)
    except (OSError, ValueError, IndexError, StopIteration, csv.Error):
        return None
    asked = "\0".join(f"{name}\0{true}" for name, true, _ in test)
    digest = hashlib.sha256(asked.encode()).hexdigest()
    return Answers(digest, np.array([t == p for _, t, p in test], dtype=bool)) if test else None


def judging(rows: Iterable[list[str]]) -> list[list[str]]:
    """Those rows of predictions.csv that are of the test images, or of val where there are none."""
    kept = [row for row in rows if row[0] in CALLED]
    return [row for row in kept if row[0] == "test"] or kept


def first_columns(lines: Iterator[str]) -> Iterator[str]:
    """Lines without their probabilities, of which there may be thousands."""
    return (line if '"' in line else ",".join(line.split(",", 4)[:4]) for line in lines)
