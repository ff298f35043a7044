"""When a batch does not fit into memory: say which words would do, or start again with half."""

import copy
import gc
import logging
import sys
import traceback
from collections.abc import Callable
from typing import Any, TypeVar

from omegaconf import DictConfig

from regraft.errors import RegraftError
from regraft.faults import first_sentence, is_out_of_memory
from regraft.tracking import Record

_log = logging.getLogger(__name__)
Made = TypeVar("Made")
BATCHES = ("limit_train_batches", "limit_val_batches", "limit_predict_batches")


def until_it_fits(cfg: DictConfig, record: Record, attempt: Callable[[DictConfig], Made]) -> Made:
    """What `attempt` gives; with loader.on_oom=halve, that of the first config that fits.

    A step of the optimizer still sees as many images, in more batches. Raises RegraftError with
    the words to add where memory runs out and that is not allowed, or cannot help.
    """
    images = cfg.loader.batch_size * cfg.trainer.accumulate_grad_batches  # in a step
    while (known := record.earlier.get("halved")) and cfg.loader.batch_size > known["batch_size"]:
        cfg = halved(cfg, images)  # as the job that this one goes on with has found out
    record.add(halved=record.earlier.get("halved"))
    while True:
        try:
            return attempt(cfg)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            smaller = halved(cfg, images)
            _refuse_unless_allowed(cfg, smaller, error)
            traceback.clear_frames(error.__traceback__)  # they hold the network and the data
        free()
        _tell(record, cfg, smaller)
        cfg = smaller


def halved(cfg: DictConfig, images: int) -> DictConfig:
    """The config with half the batch, and as many of them in a step as make so many images."""
    smaller = copy.deepcopy(cfg)
    smaller.loader.batch_size = size = max(1, cfg.loader.batch_size // 2)
    smaller.trainer.accumulate_grad_batches = max(1, round(images / size))
    for key in BATCHES:  # as a number they count batches, as a fraction they do not
        if isinstance(limit := smaller.trainer.get(key), int):
            smaller.trainer[key] = limit * cfg.loader.batch_size // size
    return smaller


def free() -> None:
    """Give back what an attempt has left in memory."""
    gc.collect()
    if (torch := sys.modules.get("torch")) is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()


def _refuse_unless_allowed(cfg: DictConfig, smaller: DictConfig, error: Exception) -> None:
    size = cfg.loader.batch_size
    found = f"out of memory ({first_sentence(str(error)) or type(error).__name__})"
    if size == 1:
        raise RegraftError(
            f"{found}: not even one image at a time fits; use trainer.precision=bf16-mixed, a "
            "smaller backbone, smaller images or more frozen stages"
        ) from error
    if cfg.loader.on_oom != "halve":
        raise RegraftError(
            f"{found}: {size} images per batch do not fit; add {_words(smaller)}, or "
            "loader.on_oom=halve"
        ) from error


def _words(cfg: DictConfig) -> str:
    accumulate = f"trainer.accumulate_grad_batches={cfg.trainer.accumulate_grad_batches}"
    return f"loader.batch_size={cfg.loader.batch_size} {accumulate}"


def _tell(record: Record, cfg: DictConfig, smaller: DictConfig) -> None:
    tried = [*(record.result["halved"] or {}).get("did_not_fit", ()), cfg.loader.batch_size]
    found: dict[str, Any] = {
        "batch_size": smaller.loader.batch_size,
        "accumulate_grad_batches": smaller.trainer.accumulate_grad_batches,
        "did_not_fit": tried,
    }
    record.add(halved=found)
    record.write()
    record.tell(lambda run: run.config.update({"halved": found}, allow_val_change=True))
    _log.warning(
        "out of memory with %d images per batch: starting again with %s (loader.on_oom=halve)",
        cfg.loader.batch_size,
        _words(smaller),
    )
