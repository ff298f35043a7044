"""Where the curves of a job go: Weights & Biases, online, offline or not at all."""

import inspect
import logging
import os
import uuid
from collections.abc import Callable
from functools import partial
from itertools import chain, repeat
from typing import Any

import wandb
from omegaconf import DictConfig
from pytorch_lightning.loggers import Logger, WandbLogger

from regraft import trust
from regraft.config import build, resolved
from regraft.masking import masked
from regraft.monitors import LOGGED
from regraft.tracking import Record
from regraft.wandb_service import (
    REACH_S,
    close,
    in_words,
    masked_words,
    patience,
    reached,
    wandb_mode,
)

log = logging.getLogger(__name__)


def made(node: DictConfig | None, record: Record) -> Logger | None:
    """The logger that a config names; None for a job that is recorded in its folder only.

    A function or class is handed the record if that is what its signature begins with, as ours
    do; other people's, such as Lightning's CSVLogger, write into the run's folder unless they are
    told another.
    """
    if node is None:
        return None
    parameters = inspect.signature(trust.load("logger", node._target_)).parameters
    first = next(iter(parameters.values()), None)
    if first is not None and (first.name == "record" or first.annotation is Record):
        made: Logger | None = build(node, record)
    elif "save_dir" in parameters and "save_dir" not in node:
        made = build(node, save_dir=str(record.job.folder))
    else:
        made = build(node)
    return made


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
    result["wandb"] = {"id": known or _new_id(), "project": project, "entity": entity}
    record.write()
    start = partial(
        wandb.init,
        project=project,
        entity=entity,
        resume="allow",
        reinit="create_new",  # also where an earlier run of this process could not be closed
        dir=record.job.folder,
        group=record.job.sweep,
        job_type="train",
        name=name,
        tags=tags,
        config=masked(resolved(record.config) | {key: result[key] for key in kept}),
        settings=wandb.Settings(
            silent=True, console="off", x_save_requirements=next(_list_packages), **patience()
        ),
    )
    try:
        run = _online_or_offline(record, start)
    except Exception as error:  # whatever it trips over, the training needs none of it
        result["wandb"]["id"] = None
        record.missed(f"off for this run: {in_words(error)}")
        return None
    record.run, record.close = run, close
    record.write()
    record.tell(_define_curves)
    return Curves(record)


def _online_or_offline(record: Record, start: Callable[..., Any]) -> Any:
    """A W&B run; offline, for this job and the others of this process, if nobody answers."""
    mode, known = wandb_mode(), record.result["wandb"]
    with masked_words():
        try:
            if mode == "online" and not reached():
                server = wandb.setup().settings.base_url
                raise _NoAnswerError(f"no answer from {server} within {REACH_S} s")
            return start(mode=mode, id=known["id"])
        except Exception as error:
            if mode != "online":
                raise
            record.missed(f"not reached, logging offline (make sync uploads it): {error}")
            os.environ["WANDB_MODE"] = "offline"
            if not isinstance(error, _NoAnswerError):
                # W&B's own process holds on to the one that it could not start.
                known["id"] = _new_id()
            return start(mode="offline", id=known["id"])


class _NoAnswerError(Exception):
    """Nobody answers at the server's address."""


def _new_id() -> str:
    return uuid.uuid4().hex[:8]


def _define_curves(run: Any) -> None:
    """Every curve over training steps, and in the summary the best value instead of the last."""
    run.define_metric("trainer/global_step")
    run.define_metric("*", step_metric="trainer/global_step", step_sync=True)
    for name, best in LOGGED.items():
        run.define_metric(name, step_metric="trainer/global_step", summary=best)


def no_logger(record: Record) -> None:
    """Record the run in its folder only."""
