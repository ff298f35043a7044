"""Weights & Biases: where it logs to, how long it may take, and how a run of it ends."""

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

import wandb
from pydantic import ValidationError

from regraft.masking import in_text
from regraft.network import answers, in_time

log = logging.getLogger(__name__)


def forget_empty() -> None:
    """Unset W&B's variables that are set to nothing: it refuses WANDB_MODE= and WANDB_SILENT=."""
    for name in [name for name, value in os.environ.items() if name.startswith("WANDB_")]:
        if not os.environ[name].strip():
            del os.environ[name]


forget_empty()
# Reports of W&B's own errors to its server, for which the end of a process waits if that is down.
os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
os.environ.setdefault("WANDB_SILENT", "true")  # what goes wrong is said once, by `Record.missed`

REACH_S = 5  # for the server to say anything
STARTED_S = 10  # for it to know a new run
UPLOADED_S = 30  # for what is left at the end; `wandb sync` uploads the rest
CLOSED_S = 10  # for its own process to end


def reached() -> bool:
    """Whether the server says anything."""
    return answers(wandb.setup().settings.base_url, within=REACH_S)


@contextmanager
def masked_words() -> Iterator[None]:
    """W&B keeps the words of the command line with a run: meanwhile without their secrets."""
    words = sys.argv
    sys.argv = [in_text(word) for word in words]
    try:
        yield
    finally:
        sys.argv = words


def patience() -> dict[str, Any]:
    """How many seconds W&B may take, in the words that the installed version knows."""
    wanted = {
        "init_timeout": STARTED_S,
        "finish_timeout": UPLOADED_S,
        "finish_timeout_raises": True,
    }
    known: Any = wandb.Settings.model_fields
    return {name: value for name, value in wanted.items() if name in known}


def close(run: Any, *, exit_code: int) -> None:
    """End the run; where W&B's own process is gone or stuck, the next run gets a new one.

    That one also makes no noise at the end of this process. Raises what `finish` raises.
    """
    try:
        in_time(UPLOADED_S + CLOSED_S, partial(run.finish, exit_code=exit_code))
    except Exception:
        with suppress(BaseException):  # SystemExit, too
            in_time(CLOSED_S, wandb.teardown)
        raise


def wandb_mode() -> Any:
    """WANDB_MODE if set; else online where a key is configured, else offline. Never a prompt."""
    wanted = os.environ.get("WANDB_MODE") or "online"
    if wanted != "online":
        return wanted
    try:
        if wandb.login(prompt=False, verify=False):
            return "online"
    except (wandb.Error, OSError):
        pass
    if os.environ.get("WANDB_MODE"):
        log.warning("WANDB_MODE=online, but no key is configured: run `wandb login` once")
    return "offline"


def in_words(error: Exception) -> str:
    """W&B's own words, but for a setting that it refuses: pydantic's take a page."""
    if not isinstance(error, ValidationError):
        return str(error)
    wrong = error.errors()[0]
    name = "_".join(map(str, wrong["loc"])).upper()
    return f"WANDB_{name}={wrong['input']}: {wrong['msg'].lower()}"
