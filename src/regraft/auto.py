"""`strategy=auto`: measured once, then the job is composed anew as what was recommended.

What the command line, a preset or a quadrant chooses stays as it is; the rest is the advice's.
"""

import json
import logging
import os
from collections.abc import Iterator, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import wandb
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig
from rich.console import Console

from regraft import earlier, rank, tracking
from regraft.advice import floors
from regraft.advice.advise import ADVICE, PICTURE, show
from regraft.advice.advise import advise as write_advice
from regraft.advice.measure import Auto
from regraft.advice.recommend import Choice
from regraft.config import check
from regraft.errors import RegraftError
from regraft.progress import watched
from regraft.provenance import composed, key_of, origin, overridden, words_of

_log = logging.getLogger(__name__)

DECIDED = "REGRAFT_DECIDED"  # the folder where the first process of a job has left its advice
OVERLAYS = ("preset", "quadrant", "sweep", "debug")  # groups whose files set other groups' keys


def advise(cfg: DictConfig, outputs: Path) -> int:
    """`regraft advise`: print an advice and leave it in a folder of its own; the exit code.

    Raises RegraftError as the job itself would.
    """
    check(cfg)
    now = datetime.now()
    folder = outputs / "advice" / f"{now:%Y-%m-%d}" / f"{now:%H-%M-%S-%f}"
    console = Console()
    made = write_advice(cfg, folder, partial(watched, console))
    show(made, _open(made.choices), folder, console)
    return 0


def as_decided(cfg: DictConfig) -> DictConfig:
    """The job as this run's earlier or first process has decided; else as it is."""
    # Another process of a job on several devices has a folder of its own, and the first one's.
    own = HydraConfig.get().runtime.output_dir
    folder = Path(os.environ.get(DECIDED, own) if rank.rank() else own)
    if not is_auto(cfg) or not (rank.rank() or earlier.goes_on(cfg)):
        return cfg
    try:
        return _composed(_open(_choices(_read(folder))))[0]
    except (OSError, ValueError, KeyError, TypeError):
        return cfg  # it is measured, perhaps again


def decide(cfg: DictConfig, record: tracking.Record, console: Console) -> DictConfig:
    """Measure what `strategy=auto` wants to know, record it, and give the job that it means."""
    if record.job.choices.get("strategy") != "auto":
        return cfg
    folder = Path(os.environ[DECIDED]) if rank.rank() else record.job.folder
    made = write_advice(cfg, folder, partial(watched, console)) if is_auto(cfg) else None
    advice = _read(folder)
    taken = _open(_choices(advice))
    if made is not None:
        show(made, taken, folder, console)
    decided, choices = _composed(taken)
    record.add(choices=choices | {"strategy": "auto"}, strategy={"name": choices["strategy"]})
    record.add(advice=advice | {"choices": [vars(choice) for choice in taken]})
    record.goes_on_from({"images_forwarded": advice["cost"]["images_forwarded"]})
    record.config = decided
    record.write()  # a run that is killed has been advised
    os.environ[DECIDED] = str(folder.absolute())
    check(decided)
    return decided


def judge_floors(cfg: DictConfig, record: tracking.Record, console: Console) -> None:
    """How good the test images would have been judged without training a network; of auto only.

    What cannot be measured is a line in the log: the training has succeeded.
    """
    if record.result["advice"] is None or not record.result["metrics"]:
        return
    try:
        found = floors.measure(cfg, partial(watched, console))
    except RegraftError as error:
        _log.warning("the floors cannot be measured: %s", error)
        return
    record.add(advice={"floors": found})
    picture = record.job.folder / PICTURE
    record.tell(lambda run: run.summary.update({f"floor/{k}": v for k, v in found.items()}))
    if picture.is_file():
        record.tell(lambda run: run.log({"advice": wandb.Image(str(picture))}))


def is_auto(cfg: DictConfig) -> bool:
    """Whether it is still to be found out what to do."""
    name = f"{Auto.__module__}.{Auto.__qualname__}"
    return bool(cfg.get("strategy") and cfg.strategy.get("_target_") == name)


def _given() -> list[str]:
    """The words of the command line but those about the strategy."""
    words = words_of(HydraConfig.get())
    return [word for word in words if key_of(word).partition(".")[0] != "strategy"]


def _read(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / ADVICE).read_text(encoding="utf-8")))


def _choices(advice: dict[str, Any]) -> list[Choice]:
    return [Choice(**choice) for choice in advice["choices"]]


def _composed(choices: Sequence[Choice]) -> tuple[DictConfig, dict[str, str]]:
    """The job with these choices; of a strategy that was found out no textbook speaks."""
    words = [word for choice in choices for word in choice.words.split()]
    return composed(HydraConfig.get(), [*words, "strategy.quadrant=null", *_given()])


def _open(choices: Sequence[Choice]) -> list[Choice]:
    """The strategy, and those of the other choices that nobody has made otherwise."""
    strategy, *others = choices
    left = [c for c in others if not any(_chosen(key_of(word)) for word in c.words.split())]
    return [strategy, *left]


def _chosen(key: str) -> bool:
    """Whether the command line, or a file of an overlay, sets a key or the group that it is in."""
    given = {key_of(word) for word in _given()}
    if any(name in given for name in _and_above(key)):
        return True
    if Path(origin(key).partition(":")[0]).parent.name in OVERLAYS:
        return True
    return any(key in overridden(group) for group in OVERLAYS)


def _and_above(key: str) -> Iterator[str]:
    """
    >>> [*_and_above("freeze.stages")]
    ['freeze.stages', 'freeze']
    """
    while key:
        yield key
        key = key.rpartition(".")[0]
