"""One job as the page shows it, of whatever files are left of it."""

import csv
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from regraft import diff, mistakes
from regraft.jobs import Job, table
from regraft.page import charts, classes, settings
from regraft.pictures import read_history, read_test, refuse_a_part
from regraft.statistics import wilson

COST = {  # key of result.json → its words, and how it is written
    "wall_s": ("seconds in all", "{:,.1f}"),
    "fit_s": ("seconds of training", "{:,.1f}"),
    "pretrain_s": ("seconds of pretraining, by whichever job did it", "{:,.1f}"),
    "images_forwarded": ("images sent through the trunk", "{:,.0f}"),
    "params_trained": ("parameters trained", "{:,.0f}"),
    "params_total": ("parameters in all", "{:,.0f}"),
    "saved_s": ("seconds saved at least, against forward passes in every epoch", "{:,.1f}"),
}


@dataclass(frozen=True)
class Told:
    """A job and what its folder tells beside `result.json`'s numbers.

    What only some jobs of a large sweep show in full is None in the others, and where its file is
    missing or damaged.
    """

    job: Job
    record: Mapping[str, Any]
    values: Mapping[str, settings.Values]  # section → key → value, of diff.sections
    curves: list[charts.Chart]
    command: str
    full: bool
    by_class: classes.Classes | None = None
    worst: list[mistakes.Shown] | None = None
    reliability: list[charts.Reliability] = field(default_factory=list)

    @property
    def interval(self) -> tuple[float, float] | None:
        return interval(self.job)

    @property
    def cost(self) -> dict[str, str]:
        """What it took, in words."""
        return {
            words: form.format(value)
            for key, (words, form) in COST.items()
            if (value := number(self.job.cost.get(key))) is not None
        }

    @property
    def plan(self) -> str:
        """What happened to each stage."""
        rows = self.record.get("plan")
        found = [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
        return ", ".join(f"{row.get('stage')} {row.get('action')}" for row in found)

    @property
    def calibration(self) -> dict[str, str]:
        """How far the network's confidence was off, and what was fitted against that."""
        found = table(self.record, "calibration")
        judge, of = self.job.judged_by, self.job.called
        kept = table(found, judge)
        values = {
            "calibration error (15 bins)": self.job.metrics.get(f"{judge}/ece"),
            "the same before the temperature": self.job.metrics.get(f"{judge}/ece_uncalibrated"),
            "temperature, fitted on validation": found.get("temperature"),
            "wanted precision": found.get("precision"),
            "threshold of confidence for it": found.get("threshold"),
            f"precision above it, on {of}": kept.get("precision")
            if found.get("threshold")
            else None,
            f"{of} images above it": kept.get("coverage") if found.get("threshold") else None,
        }
        known = {words: number(value) for words, value in values.items()}
        told = {words: f"{value:.3f}" for words, value in known.items() if value is not None}
        if images := number(found.get("images")):
            told["validation images that this stands on"] = f"{images:,}"
        return told


def read(job: Job, *, full: bool) -> Told:
    """What is left of a job; `full` reads its predictions and pictures, too."""
    record = job.record
    best = record.get("best_epoch")
    listed = record.get("overrides")
    words = listed if isinstance(listed, list) else list(map("=".join, job.overrides.items()))
    told = Told(
        job,
        record,
        diff.sections(job.folder, record, job.error),
        _curves(job, best if isinstance(best, int) else None),
        settings.command(words),
        full,
    )
    if not full:
        return told
    calibration = table(record, "calibration")
    drawn = (charts.reliability(name, calibration.get(name)) for name in ("before", "after"))
    return replace(
        told,
        by_class=_classes(job, record),
        worst=mistakes.read(job.folder / mistakes.FILE),
        reliability=[diagram for diagram in drawn if diagram],
    )


def interval(job: Job) -> tuple[float, float] | None:
    """95 % of the accuracy, over the images that judge it (Wilson 1927)."""
    if job.acc is None or job.judged_on is None:
        return None
    return wilson(job.acc, job.judged_on)


def number(value: Any) -> float | None:
    """A number as it is, and nothing for anything else."""
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _curves(job: Job, best: int | None) -> list[charts.Chart]:
    try:
        return charts.learning(read_history(job.folder / "metrics.csv"), best)
    except (OSError, ValueError, TypeError, LookupError, csv.Error):
        return []


def _classes(job: Job, record: Mapping[str, Any]) -> classes.Classes | None:
    try:
        true, predicted, names = read_test(job.folder / "predictions.csv")
        refuse_a_part(true, record)
    except (OSError, ValueError, LookupError, csv.Error):
        return None
    return classes.of(true, predicted, names) if true else None
