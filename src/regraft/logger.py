"""Where the curves of a job go: Weights & Biases, online, offline or not at all."""

import logging
import os
import sys
import uuid
from collections.abc import Callable
from functools import partial
from itertools import chain, repeat
from typing import Any

import wandb
from pytorch_lightning.loggers import WandbLogger

from regraft.complaints import explain
from regraft.config import resolved
from regraft.masking import in_text, masked
from regraft.tracking import Record

log = logging.getLogger(__name__)


class Curves(WandbLogger):
    """Lightning's logger to a record's W&B run; a broken connection ends no training."""

    def __init__(self, record: Record) -> None:
        super().__init__(experiment=record.run)
        self.record = record

    def log_metrics(self, metrics: Any, step: int | None = None) -> None:
        self.record.tell(lambda _: super(Curves, self).log_metrics(metrics, step))


# W&B's list of all installed packages takes 0.1 s and is the same for all jobs of a process.
_list_packages = chain([True], repeat(False))


def wandb_logger(record: Record, *, project: str, entity: str | None) -> Curves | None:
    """Start the job's own W&B run; the training goes on without one if that fails."""
    result, choices = record.result, record.result["choices"]
    name, tags = record.name_and_tags(
        backbone=choices.get("backbone", ""), data=choices.get("data", "")
    )
    kept = ("choices", "overrides", "sources", "versions", "git")
    # The id is ours, and in result.json before anything can happen: who goes on needs it.
    known = (record.earlier.get("wandb") or {}).get("id")
    result["wandb"] = {"id": known or uuid.uuid4().hex[:8], "project": project, "entity": entity}
    record.write()
    start = partial(
        wandb.init,
        project=project,
        entity=entity,
        id=result["wandb"]["id"],
        resume="allow",
        reinit="create_new",  # also where an earlier run of this process could not be closed
        dir=record.job.folder,
        group=record.job.sweep,
        job_type="train",
        name=name,
        tags=tags,
        config=masked(resolved(record.config) | {key: result[key] for key in kept}),
        settings=wandb.Settings(
            silent=True, console="off", init_timeout=20, x_save_requirements=next(_list_packages)
        ),
    )
    try:
        run = _online_or_offline(start)
    except (wandb.Error, OSError, ValueError) as error:
        log.warning("Weights & Biases is off for this run: %s", explain(error))
        result["wandb"] = None
        return None
    record.run = run
    record.write()
    record.tell(_define_curves)
    return Curves(record)


def _online_or_offline(start: Callable[..., Any]) -> Any:
    """A W&B run; offline, for this job and the others of this process, if nobody answers."""
    mode = wandb_mode()
    words = sys.argv
    sys.argv = [in_text(word) for word in words]  # which W&B keeps with the run
    try:
        return start(mode=mode)
    except wandb.Error as error:
        if mode != "online":
            raise
        log.warning("Weights & Biases does not answer, logging offline: %s", explain(error))
        os.environ["WANDB_MODE"] = "offline"
        return start(mode="offline")
    finally:
        sys.argv = words


def _define_curves(run: Any) -> None:
    """Every curve over training steps, and in the summary the best value instead of the last."""
    run.define_metric("trainer/global_step")
    run.define_metric("*", step_metric="trainer/global_step", step_sync=True)
    for name, best in {"val/acc": "max", "train/acc": "max", "val/loss": "min"}.items():
        run.define_metric(name, step_metric="trainer/global_step", summary=best)


def no_logger(record: Record) -> None:
    """Record the run in its folder only."""


def wandb_mode() -> Any:
    """WANDB_MODE if set; else online where a key is configured, else offline. Never a prompt."""
    wanted = os.environ.get("WANDB_MODE", "online")
    if wanted != "online":
        return wanted
    try:
        if wandb.login(prompt=False, verify=False):
            return "online"
    except (wandb.Error, OSError):
        pass
    if "WANDB_MODE" in os.environ:
        log.warning("WANDB_MODE=online, but no key is configured: run `wandb login` once")
    return "offline"
