"""Where the curves of a job go: Weights & Biases, online, offline or not at all."""

import logging
import os
import sys
import uuid
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from itertools import chain, repeat
from typing import Any

import wandb
from pydantic import ValidationError
from pytorch_lightning.loggers import WandbLogger

from regraft.config import resolved
from regraft.masking import in_text, masked
from regraft.network import answers, in_time
from regraft.tracking import Record

log = logging.getLogger(__name__)

# Reports of W&B's own errors to its server, for which the end of a process waits if that is down.
os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
os.environ.setdefault("WANDB_SILENT", "true")  # what goes wrong is said once, by `Record.missed`

REACH_S = 5  # for the server to say anything
STARTED_S = 10  # for it to know a new run
UPLOADED_S = 30  # for what is left at the end; `wandb sync` uploads the rest
CLOSED_S = 10  # for its own process to end


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
            silent=True, console="off", x_save_requirements=next(_list_packages), **_patience()
        ),
    )
    try:
        run = _online_or_offline(record, start)
    except Exception as error:  # whatever it trips over, the training needs none of it
        result["wandb"]["id"] = None
        record.missed(f"off for this run: {_in_words(error)}")
        return None
    record.run, record.close = run, _close
    record.write()
    record.tell(_define_curves)
    return Curves(record)


def _online_or_offline(record: Record, start: Callable[..., Any]) -> Any:
    """A W&B run; offline, for this job and the others of this process, if nobody answers."""
    mode, known = wandb_mode(), record.result["wandb"]
    words = sys.argv
    sys.argv = [in_text(word) for word in words]  # which W&B keeps with the run
    try:
        if mode == "online" and not answers(
            server := wandb.setup().settings.base_url, within=REACH_S
        ):
            raise _NoAnswerError(f"no answer from {server} within {REACH_S} s")
        return start(mode=mode, id=known["id"])
    except Exception as error:
        if mode != "online":
            raise
        record.missed(f"not reached, logging offline (make sync uploads it): {error}")
        os.environ["WANDB_MODE"] = "offline"
        if not isinstance(error, _NoAnswerError):
            known["id"] = _new_id()  # W&B's own process holds on to the one that it could not start
        return start(mode="offline", id=known["id"])
    finally:
        sys.argv = words


def _in_words(error: Exception) -> str:
    """W&B's own words, but for a setting that it refuses: pydantic's take a page."""
    if not isinstance(error, ValidationError):
        return str(error)
    wrong = error.errors()[0]
    name = "_".join(map(str, wrong["loc"])).upper()
    return f"WANDB_{name}={wrong['input']}: {wrong['msg'].lower()}"


class _NoAnswerError(Exception):
    """Nobody answers at the server's address."""


def _new_id() -> str:
    return uuid.uuid4().hex[:8]


def _patience() -> dict[str, Any]:
    """How many seconds W&B may take, in the words that the installed version knows."""
    wanted = {
        "init_timeout": STARTED_S,
        "finish_timeout": UPLOADED_S,
        "finish_timeout_raises": True,
    }
    known: Any = wandb.Settings.model_fields
    return {name: value for name, value in wanted.items() if name in known}


def _close(run: Any, *, exit_code: int) -> None:
    """End the run; where W&B's own process is gone or stuck, the next run gets a new one.

    That one also makes no noise at the end of this process. Raises what `finish` raises.
    """
    try:
        in_time(UPLOADED_S + CLOSED_S, partial(run.finish, exit_code=exit_code))
    except Exception:
        with suppress(BaseException):  # SystemExit, too
            in_time(CLOSED_S, wandb.teardown)
        raise


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
