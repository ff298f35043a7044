"""A sweep over the size of the data as learning curves: one for each of whatever else was swept."""

import csv
import json
import shlex
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import OmegaConf

from regraft.classwise import Judged
from regraft.counts import confusion
from regraft.curve import MIN_REPLICATES, MIN_SIZES, Point
from regraft.errors import RegraftError
from regraft.escaping import from_csv
from regraft.forecast import Forecast, forecast, with_classes
from regraft.jobs import Job, first_columns, read_jobs, swept
from regraft.paths import SWEEP, shown
from regraft.provenance import key_of

SIZES = ("data.per_class", "data.fraction")  # what says how many images there are


def curves(folder: Path, target_acc: float) -> dict[str, Forecast]:
    """A forecast per contender, named by what was swept besides the size and the seed.

    Raises RegraftError for a sweep that did not vary the size, and for too few sizes or seeds, with
    what is missing.
    """
    jobs = read_jobs(folder)
    keys = swept(jobs)
    if not set(SIZES) & set(keys):
        largest = max(jobs, key=lambda job: job.data.get("train") or 0)
        more = command(_typed(folder), largest.folder, largest.data)
        raise RegraftError(
            f"{shown(folder)}: this sweep did not vary the size of the data, so it has no learning "
            f"curve; train at several sizes: {more}"
        )
    contenders: dict[str, list[Job]] = {}
    for job in jobs:
        named = (_named(key, job.setting(key)) for key in keys if key not in SIZES)
        contenders.setdefault(", ".join(named) or job.strategy, []).append(job)
    return {name: _curve(folder, name, some, target_acc) for name, some in contenders.items()}


def _curve(folder: Path, name: str, jobs: Sequence[Job], target_acc: float) -> Forecast:
    """The forecast from the validation accuracy of one contender's jobs."""
    by_size = _by_size(jobs)
    enough = {n: some for n, some in by_size.items() if len(some) >= MIN_REPLICATES}
    if len(enough) < MIN_SIZES:
        raise RegraftError(f"{shown(folder)}: {_what_is_missing(name, jobs, by_size)}")
    counted = [
        (size, replicate, job)
        for size, some in sorted(enough.items())
        for replicate, job in enumerate(sorted(some, key=lambda job: job.repeat or (0, 0)))
    ]
    points = [Point(n, replicate, float(job.metrics["val/acc"])) for n, replicate, job in counted]
    classes, images = (_number(jobs, key) for key in ("classes", "val"))
    found = forecast(points, target_acc, val_images=images, num_classes=classes)
    names, judged = _judged(counted)
    return with_classes(found, judged, names) if judged else found


def _by_size(jobs: Sequence[Job]) -> dict[int, list[Job]]:
    """The jobs that have a result by their training images per class, on average."""
    asked: dict[tuple[str, ...], list[Job]] = {}
    for job in jobs:
        acc, counts = job.metrics.get("val/acc"), (job.data.get("train"), job.data.get("classes"))
        if not job.error and isinstance(acc, int | float) and all(counts):
            asked.setdefault(tuple(job.setting(key) for key in SIZES), []).append(job)
    found: dict[int, list[Job]] = {}
    for some in asked.values():
        size = np.mean([job.data["train"] / job.data["classes"] for job in some])
        found.setdefault(max(1, round(float(size))), []).extend(some)
    return found


def _number(jobs: Sequence[Job], key: str) -> int | None:
    """A count that all jobs with a result agree in."""
    values = {job.data.get(key) for job in jobs if not job.error}
    value = values.pop() if len(values) == 1 else None
    return value if isinstance(value, int) else None


def _what_is_missing(name: str, jobs: Sequence[Job], by_size: Mapping[int, list[Job]]) -> str:
    """Which sizes there are, with how many seeds, and what to train besides."""
    what = f"of {name} there" if name else "there"
    failed = sum(job.error is not None for job in jobs)
    there = ", ".join(f"{n} ({len(some)})" for n, some in sorted(by_size.items())) or "none"
    seeds = len({job.repeat for job in jobs if job.repeat})
    fix = "add sizes to data.per_class or data.fraction" if len(by_size) < MIN_SIZES else ""
    if seeds < MIN_REPLICATES:
        fix = " and ".join(filter(None, (fix, "train each with seed=0,1,2")))
    lost = f", and {failed} of {len(jobs)} jobs have no result (regraft resume)" if failed else ""
    return (
        f"a learning curve needs at least three sizes with three seeds each; {what} are these "
        f"images per class (seeds): {there}{lost}{f'; {fix}' if fix else ''}"
    )


def _judged(counted: Sequence[tuple[int, int, Job]]) -> tuple[list[str], list[Judged]]:
    """The classes and what every job said of the validation images; nothing if one is not known."""
    read = [(n, replicate, _validated(job.folder)) for n, replicate, job in counted]
    if not all(pairs for _, _, pairs in read):
        return [], []
    names = sorted({true for _, _, pairs in read for true, _ in pairs})
    index = {name: number for number, name in enumerate(names)}
    judged = []
    for n, replicate, pairs in read:
        # A class without validation images is no mistake that is counted.
        known = [(index[true], index[said]) for true, said in pairs if said in index]
        true, said = np.array(known, dtype=int).reshape(-1, 2).T
        judged.append(Judged(n, replicate, confusion(true, said, len(names))))
    return names, judged


def _validated(folder: Path) -> list[tuple[str, str]]:
    """True and predicted class of every validation image; [] where that cannot be read."""
    try:
        with (folder / "predictions.csv").open(encoding="utf-8", newline="") as file:
            rows = csv.reader(first_columns(file))
            next(rows)
            return [(from_csv(row[2]), from_csv(row[3])) for row in rows if row[0] == "val"]
    except (OSError, ValueError, IndexError, StopIteration, csv.Error):
        return []


def _named(key: str, value: str) -> str:
    return value if key in ("strategy", "backbone", "data", "quadrant") else f"{key}={value}"


def as_decided(words: Sequence[str], advice: Mapping[str, Any]) -> list[str]:
    """The words of a run of strategy=auto with what it has chosen, so that all sizes train it."""
    chosen = " ".join(str(choice.get("words")) for choice in advice.get("choices") or [])
    kept = [w for w in words if not chosen or key_of(w).partition(".")[0] != "strategy"]
    return [*chosen.split(), *kept]


def command(words: Sequence[str], folder: Path, data: Mapping[str, Any]) -> str:
    """What trains the same at several sizes: these words, without their own size, seed and folder.

    `folder` is that of a job and `data` what its result says of its data. Raises RegraftError for
    data that cannot be made smaller.
    """
    gone = (*SIZES, "seed", "data.fold", "resume")
    kept = [w for w in words if not w.startswith("hydra.") and key_of(w) not in gone]
    smaller = _smaller(data, _keys_of_data(folder))
    return " ".join(["regraft train -m", *map(shlex.quote, kept), smaller, "seed=0,1,2"])


def _smaller(data: Mapping[str, Any], keys: Collection[str]) -> str:
    """The word for all images, a half, a quarter and an eighth of them."""
    train, classes = data.get("train") or 0, data.get("classes") or 1
    if "per_class" in keys and train % classes == 0:
        most = train // classes
        sizes = sorted({max(1, round(most / 2**step)) for step in range(4)})
        if len(sizes) < MIN_SIZES:
            raise RegraftError(
                f"it was trained on {most} image{'s' * (most != 1)} per class, and a learning "
                f"curve needs at least three sizes: train with data.per_class={MIN_SIZES} or more"
            )
        return f"data.per_class={','.join(map(str, sizes))}"
    if "fraction" in keys:
        return "data.fraction=0.125,0.25,0.5,1.0"
    raise RegraftError(
        "a learning curve takes trainings at several sizes, and this data has no per_class and no "
        "fraction to set: give its images as data=image_folder or data=manifest"
    )


def _keys_of_data(folder: Path) -> list[str]:
    """What can be set of the data of a job, as its config.yaml has it."""
    try:
        return [str(key) for key in OmegaConf.load(folder / "config.yaml").data]
    except Exception:  # of a job that was stopped before it began
        return [key.partition(".")[2] for key in SIZES]


def _typed(folder: Path) -> list[str]:
    """The words that a sweep was started with, as it wrote them down."""
    try:
        return [
            str(word) for word in json.loads((folder / SWEEP).read_text(encoding="utf-8"))["words"]
        ]
    except (OSError, ValueError, KeyError, TypeError):
        return []
