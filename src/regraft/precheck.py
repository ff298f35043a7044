"""Everything that can be said of a command's words before anything is written: no folder, no run.

A job checks its own config once more, as it may be started by other programs than this one.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import setup_globals
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from regraft.complaints import explain
from regraft.config import check
from regraft.errors import RegraftError
from regraft.provenance import options_of, words_of

Compose = Callable[[tuple[str, ...]], DictConfig]  # of a job's words, with Hydra's own part
Check = Callable[[DictConfig], None]  # of a job's config; raises RegraftError


def check_job(cfg: DictConfig, *more: Check) -> None:
    """Check a composed job, `cfg` with Hydra's own part, and so do `more` afterwards.

    Raises RegraftError, as the job would.
    """
    with as_job(cfg, str(OmegaConf.select(cfg, "hydra.run.dir"))) as task:
        _check(task, more)


def check_jobs(
    cfg: DictConfig, compose: Compose, jobs: Iterable[Sequence[str]], *more: Check
) -> None:
    """Check jobs of a sweep, given by their words; `cfg` is the sweep's, with Hydra's own part.

    Raises RegraftError for the first that is wrong, whichever its number.
    """
    for number, words in enumerate(jobs):
        job = compose(tuple(words))
        with as_job(job, f"{cfg.hydra.sweep.dir}/{number}", number) as task:
            _check(task, more)


def check_folders(cfg: DictConfig, compose: Compose, jobs: Sequence[Sequence[str]]) -> None:
    """Check that each job of a sweep, given by its words, has a folder (hydra.sweep.subdir) of its
    own, and none that another one's number leads to. Raises RegraftError."""
    top = Path(str(cfg.hydra.sweep.dir)).absolute()
    taken = {(top / str(number)).resolve(): number for number in range(len(jobs))}
    for number, words in enumerate(jobs):
        job = compose(tuple(words))
        with as_job(job, str(top / str(number)), number):
            name = str(job.hydra.sweep.subdir)
        own = (top / name).resolve()
        if own == top.resolve():
            raise RegraftError(
                f"hydra.sweep.subdir={name}: the folder of a job lies in that of the sweep; have "
                "${hydra.job.num} in the name"
            )
        if (other := taken.setdefault(own, number)) != number:
            raise of_another(name, number, str(other))


def of_another(name: str, number: int, other: str) -> RegraftError:
    """The error of a job whose folder would be another one's."""
    return RegraftError(
        f"hydra.sweep.subdir={name}: the folder of job {number} would be that of job {other}; have "
        "${hydra.job.num} in the name, as in job_${hydra.job.num}"
    )


def _check(task: DictConfig, more: Sequence[Check]) -> None:
    try:
        refuse_contradictions(task)
        check(task)
        for one in more:
            one(task)
    except Exception as error:  # explained here, where it is known who has set what
        raise RegraftError(explain(error)) from error


def refuse_contradictions(task: DictConfig) -> None:
    """Raises RegraftError for words that undo each other, or that Hydra would pass over."""
    hydra = HydraConfig.get()
    choices, folder = options_of(hydra), Path(hydra.runtime.output_dir)
    if hydra.mode == RunMode.RUN and hydra.sweeper.get("params"):
        raise RegraftError(f"sweep={choices.get('sweep')} is a sweep: add -m to the command")
    own = [word for word in words_of(hydra) if word.startswith("data=")]
    if own and (quadrant := choices.get("quadrant")):
        raise RegraftError(
            f"quadrant={quadrant} brings its own data: leave {own[0]} or the quadrant "
            "(sweep=quadrants is four of them) out"
        )
    if Path(str(task.get("output_dir", folder))).resolve() != folder.resolve():
        raise RegraftError(f"output_dir={task.output_dir}: set hydra.run.dir instead")


@contextmanager
def as_job(cfg: DictConfig, folder: str, number: int | None = None) -> Iterator[DictConfig]:
    """What a job in this folder would see of a composed config, while Hydra knows it as running."""
    setup_globals()  # the resolver `hydra:`
    state: Any = HydraConfig.instance()
    before = state.cfg
    with read_write(cfg.hydra), open_dict(cfg.hydra):
        cfg.hydra.runtime.output_dir = str(Path(folder).absolute())
        if number is not None:
            cfg.hydra.job.num = number
    state.set_config(cfg)
    try:
        yield OmegaConf.masked_copy(cfg, [key for key in map(str, cfg) if key != "hydra"])
    finally:
        state.cfg = before
