"""Around the jobs of one command line: errors as one line, the exit code.

Imported before anything heavy is needed: `--help` and `--cfg job` never load torch.
"""

import atexit
import faulthandler
import gc
import logging
import multiprocessing
import os
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import chdir, contextmanager
from functools import cache, partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import configure_log, env_override
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from regraft import (
    beside,
    complaints,
    environment,
    faults,
    finalists,
    hydra_loader,
    rank,
    searchpath,
    sweep,
    terminal,
    trust,
    worker,
)
from regraft.command import overrides_first
from regraft.environment import is_on
from regraft.errors import RegraftError
from regraft.hydra_internals import get_args_parser
from regraft.interrupt import wait_for_the_others
from regraft.paths import conf_folder

TRACEBACK = "REGRAFT_TRACEBACK"  # an environment variable, so that launchers' processes have it
_failed: list[str] = []  # errors of the jobs that this process ran, or had run
_worker = worker.Worker()  # runs the jobs of a sweep, while they are not to end this process


def train(arguments: list[str]) -> None:
    """`regraft train`: what train.py does in a checkout, with the YAML of the package."""
    sys.argv = ["regraft train", *arguments]
    guard(run_jobs)


def run_jobs() -> None:
    """The job, or the jobs, of the words in sys.argv."""
    # Lightning starts the other processes of a job on several devices as `python -m <this name>`.
    sys.modules["__main__"].__spec__ = find_spec("regraft.launch")
    _hydra(job)()


def doctor(arguments: list[str], *, as_json: bool) -> None:
    """`regraft doctor`: what the same words would train, looked at; no run folder is made."""

    def examine(cfg: DictConfig, outputs: Path) -> int:
        from regraft.doctor.examine import run

        return run(cfg, outputs, json=as_json)

    _look("doctor", arguments, examine)


def advise(arguments: list[str]) -> None:
    """`regraft advise`: in which cell of the table the words' data lies, and what fits there."""

    def measure(cfg: DictConfig, outputs: Path) -> int:
        from regraft.auto import advise

        return advise(cfg, outputs)

    _look("advise", arguments, measure, own=["strategy=auto"])


def _look(
    command: str,
    arguments: list[str],
    task: Callable[[DictConfig, Path], int],
    *,
    own: Sequence[str] = (),
) -> None:
    """Do something else with the words of a training than to train; it makes no run's folder."""
    sys.argv = [f"regraft {command}", *arguments]

    def main() -> None:
        given = get_args_parser().parse_args()
        if given.multirun:
            raise RegraftError(f"-m: {command} is for one job at a time; give one value per key")
        runs = [word for word in given.overrides if word.startswith("hydra.run.dir=")]
        outputs = Path(runs[-1].partition("=")[2].strip("'\"") if runs else "outputs")

        def run(cfg: DictConfig) -> None:
            try:
                code = task(cfg, outputs)
            except Exception as error:
                _tell(error)  # before Hydra can, in many words
                raise SystemExit(1) from error
            raise SystemExit(code)

        with tempfile.TemporaryDirectory(prefix=f"regraft-{command}-") as folder:
            quiet = [f"hydra.run.dir='{folder}'", "hydra.output_subdir=null", "hydra.mode=RUN"]
            after = 1 + len(given.overrides)  # which come first
            sys.argv[after:after] = [*own, *quiet]
            _hydra(run)()

    guard(main)


def _hydra(task: Callable[[DictConfig], Any]) -> Callable[[], Any]:
    """Hydra's main function with the YAML of the package."""
    conf = str(conf_folder())
    return hydra.main(version_base="1.3", config_path=conf, config_name="config")(task)


def job(cfg: DictConfig) -> float | None:
    """One job of a command line, its accuracy; in a sweep a failed one is None and stops nobody.

    For a search None is a failed trial, where NaN would end it.
    """
    terminal.prepare()  # in a process that a launcher has started
    hydra = HydraConfig.get()
    try:
        apart = beside.kind(hydra) in ("basic", "joblib") and worker.is_possible()
        accuracy, error = _in_worker(cfg) if apart else _attempt(cfg)
    except KeyboardInterrupt:
        # In the sweep's own process, where joblib runs one job at a time, there are no others.
        if beside.kind(hydra) == "joblib" and multiprocessing.parent_process():
            wait_for_the_others()
        raise
    if error is not None:
        _failed.append(error)
        if hydra.mode == RunMode.RUN:
            raise SystemExit(1)
    return accuracy


def _in_worker(cfg: DictConfig) -> tuple[float | None, str | None]:
    """The same as `_attempt`, in a process of the sweep's jobs; one that dies there has failed."""
    try:
        return _worker.run(_alone, cfg, _with_hydra(cfg), Path.cwd())
    except worker.ProcessDiedError as death:
        error = faults.of_death(death.code)
        sweep.record_failure(HydraConfig.get(), error)
        _tell(RegraftError(error))
        return None, error


def _with_hydra(cfg: DictConfig) -> DictConfig:
    """A job's config and Hydra's as one, without the classes of plugins, which cannot be sent."""
    hydra, own = HydraConfig.get(), OmegaConf.to_container(cfg)
    assert isinstance(own, dict)
    both = OmegaConf.create({**own, "hydra": OmegaConf.to_container(hydra)})
    OmegaConf.copy_cache(cfg, both)  # or ${now:…} would be another time
    return both


def _alone(
    cfg: DictConfig, with_hydra: DictConfig, folder: Path
) -> tuple[float | None, str | None]:
    """A job in a process that knows nothing of it: it is made as Hydra has made the other one."""
    HydraConfig.instance().cfg = with_hydra  # type: ignore[assignment]
    hydra = with_hydra.hydra
    configure_log(hydra.job_logging, hydra.verbose)
    try:
        with chdir(folder), env_override(hydra.job.env_set), _last_words():
            return _attempt(cfg)
    finally:
        configure_log(hydra.hydra_logging, hydra.verbose)


@contextmanager
def _last_words() -> Iterator[None]:
    """Where a fault in machine code strikes, the lines of Python that led there go into the log."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, logging.FileHandler) and handler.stream is not None:
            faulthandler.enable(handler.stream, all_threads=False)
    try:
        yield
    finally:
        faulthandler.disable()


def _attempt(cfg: DictConfig) -> tuple[float | None, str | None]:
    """The accuracy of a job, or the error, which has been told."""
    try:
        if HydraConfig.get().mode == RunMode.RUN:  # of a sweep it is said before the jobs
            searchpath.say_what_is_replaced(HydraConfig.get())
        else:
            sweep.find_by_number(HydraConfig.get())
        run = _experiment()
        from regraft.devices import own_device

        with own_device(cfg):
            return run(cfg), None
    except Exception as error:
        _tell(error)
        traceback.clear_frames(error.__traceback__)  # they hold the network and the data
        return None, complaints.explain(error)
    finally:
        gc.collect()
        if (torch := sys.modules.get("torch")) is not None and torch.cuda.is_available():
            torch.cuda.empty_cache()


@cache
def _experiment() -> Callable[[DictConfig], float]:
    if not is_on(TRACEBACK):
        warnings.showwarning = _warn
        logging.raiseExceptions = False  # train.log on a full disk: the job says it, in one line
    import torch

    from regraft.experiment import run  # torch and Lightning take seconds to import

    torch.set_num_threads(min(torch.get_num_threads(), environment.cores()))  # of a container
    gc.freeze()  # what is imported stays; the collection after each job need not look at it
    atexit.register(gc.unfreeze)  # at the end it does; extensions complain of what is left
    return run


def _warn(message: Warning | str, *_: Any, **__: Any) -> None:
    """A library's warning as a line of the log: from which line of which file helps no user."""
    logging.getLogger(__name__).warning("%s", " ".join(str(message).split()))


def guard(main: Callable[[], Any]) -> None:
    """Run a Hydra main function; end with one line for an error and the right exit code.

    The words of the command line are put into the order that Hydra takes before.
    """
    terminal.prepare()
    own = rank.set_apart() if rank.rank() else []
    if is_on("HYDRA_FULL_ERROR") or "debug=on" in sys.argv:
        os.environ[TRACEBACK] = "1"
    # Threads that spin long while they wait take the cores of whatever else runs: with one of two
    # cores busy, a head trained 4 times slower. Without spinning, convolutions are 1.6 times
    # slower. This is in between and as fast as either (docs/LOG.md). Read when torch is loaded.
    os.environ.setdefault("GOMP_SPINCOUNT", "20000")
    # Memory for a tensor in pages of 2 MB, not of 4 kB: to fill a batch of 64 images for the first
    # time, and it is new in every step, then takes a third of the time. Linux only.
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    warnings.filterwarnings("error", "provider=hydra.searchpath")  # Hydra only warns of no folder
    warnings.filterwarnings("error", complaints.OF_OUR_CALLBACK)  # nor of what it has refused
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then hands errors over instead of printing them
    codes = [_code_of(lambda: _begin(main, own)), int(bool(_failed))]
    begun = filter(sweep.has_begun, sweep.started)  # where no job has, it was said why
    codes += [_code_of(partial(sweep.end, folder)) for folder in begun]
    sys.exit(next(filter(None, codes), 0))


def _begin(main: Callable[[], Any], own: list[str]) -> None:
    """Hand the words of the command line to a Hydra main function, in the order that it takes."""
    sys.argv[1:] = overrides_first(trust.from_words([*sys.argv[1:], *own]))
    hydra_loader.install()
    finalists.register()
    # Hydra appends the same folder once more, which is asked last and so never.
    searchpath.use(get_args_parser().parse_args(sys.argv[1:]).config_dir)
    try:
        main()
    finally:
        _worker.close()


def _code_of(step: Callable[[], int | None]) -> int:
    """The exit code of a step, of which an error has been told."""
    try:
        return step() or 0
    except KeyboardInterrupt as stop:
        print(complaints.explain(stop), file=sys.stderr)
        return 130
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else 1
    except Exception as error:
        _tell(faults.of_output(complaints.behind(error), None))
        return 1


def _tell(error: BaseException) -> None:
    if is_on(TRACEBACK):
        traceback.print_exception(error)
    who = f" (device {rank.rank()})" if rank.rank() else ""
    print(f"error{who}: {complaints.explain(error)}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    train(sys.argv[1:])
