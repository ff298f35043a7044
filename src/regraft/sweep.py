"""Around the jobs of a sweep: which of how many runs, how long the rest takes, and the report."""

import json
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, suppress
from functools import lru_cache
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, IntervalSweep, Override
from hydra.core.utils import JobReturn
from hydra.errors import HydraException
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig

from regraft import finalists, precheck, search, searchpath
from regraft.beside import in_our_processes, is_search, kind, sweep_folder, threads_each
from regraft.earlier import RESULT, result_of
from regraft.errors import RegraftError
from regraft.interrupt import pass_on
from regraft.lock import held, is_held
from regraft.masking import in_text, masked
from regraft.paths import SWEEP, write_whole
from regraft.provenance import hydras_words_of, options_of, words_of

MOST_CHECKED = 64  # jobs that are all checked before the first; to compose one takes 0.1 s
_held = ExitStack()  # of the same, until this process ends
_ended: dict[Path, float] = {}  # result.json of jobs that have ended → when that was
started: list[Path] = []  # folders of the sweeps that this process has started


class SweepProgress(Callback):
    """Says which job of how many runs, and about how long the rest will take.

    It begins with a check of every word, as no public place of Hydra's comes before it.
    """

    def on_run_start(self, config: DictConfig, **_: Any) -> None:
        precheck.check_job(config, *_of_this_machine(config.hydra))

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        refuse_nothing(config)
        plan = plan_of(config)
        loader = GlobalHydra.instance().config_loader()
        # Composed once for both checks, which takes 0.1 s a job.
        compose = lru_cache(MOST_CHECKED)(lambda job: loader.load_sweep_config(config, [*job]))
        here = _of_this_machine(config.hydra)
        precheck.check_jobs(config, compose, to_check(config, plan), *here)
        if 1 < len(plan["overrides"] or ()) <= MOST_CHECKED:
            precheck.check_folders(config, compose, plan["overrides"])
        folder = Path(config.hydra.sweep.dir)
        try:  # Hydra only warns of what fails in here; the first job will say it
            folder.mkdir(parents=True, exist_ok=True)
        except OSError:
            return
        started.append(folder)
        stop_in_peace(config, folder)
        if (folder / SWEEP).exists():
            return  # its jobs will be refused, or go on
        if is_search(config.hydra):
            search.prepare(config)
        _held.enter_context(held(folder))
        words = [*hydras_words_of(config.hydra), *words_of(config.hydra)]
        write_whole(folder / SWEEP, json.dumps(masked({"words": words} | plan)).encode())
        begin(config, plan["jobs"])

    def on_job_start(self, config: DictConfig, **_: Any) -> None:
        folder = sweep_folder(config.hydra)
        if config.hydra.mode == RunMode.MULTIRUN and (folder / SWEEP).exists():
            jobs = json.loads((folder / SWEEP).read_text(encoding="utf-8"))["jobs"]
            words = in_text(" ".join(words_of(config.hydra)))
            many = f" (of 0 to {jobs - 1})" if jobs and jobs > 1 else ""
            left = _time_left(folder, jobs) if jobs else ""
            # In one piece, as jobs side by side write in turn.
            print(f"\njob {config.hydra.job.num}{many}: {words}{left}\n", end="", flush=True)

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **_: Any) -> None:
        if config.hydra.mode == RunMode.MULTIRUN:
            # Launchers keep what every job returns; with its configs, 0.2 MB of each job.
            job_return.cfg = job_return.hydra_cfg = None


def count_jobs(config: DictConfig) -> int | None:
    """How many jobs a search, or the command line and `hydra.sweeper.params`, will make.

    None for a sweep that nobody can count before, such as over what a glob finds.
    """
    if is_search(config.hydra):
        return int(config.hydra.sweeper.n_trials)
    count = 1
    for override in _overrides(config):
        if override.is_sweep_override():
            if not _countable(override):
                return None
            count *= len(list(override.sweep_string_iterator()))
    return count


def refuse_nothing(config: DictConfig) -> None:
    """Raises RegraftError for a word that stands for no value, such as seed=range(3,0).

    Hydra would make no job of it, and no word.
    """
    for override in _overrides(config):
        if override.is_discrete_sweep() and not [*override.sweep_string_iterator()]:
            group = isinstance(override.value(), Glob)
            what = "no option has such a name" if group else "there is no value in it"
            raise RegraftError(f"{override.input_line}: {what}, so the sweep has no job")


def stop_in_peace(config: DictConfig, folder: Path) -> None:
    """With jobs in processes of their own, the first Ctrl-C ends each after its step."""
    if in_our_processes(config.hydra):
        pass_on(lambda: any(is_held(path) for path in folder.glob("[0-9]*/")))


def begin(config: DictConfig, jobs: int | None) -> None:
    """What is set and said before the first of so many jobs, also when a sweep goes on."""
    if kind(config.hydra) in ("local", "slurm"):
        print(
            f"{jobs} jobs for submitit; their logs: {config.hydra.sweep.dir}/.submitit", flush=True
        )
    # For the processes of the jobs, which inherit it; what the user has set stays.
    if threads := threads_each(config, jobs):
        os.environ.setdefault("OMP_NUM_THREADS", str(threads))
    with suppress(HydraException):  # a wrong word; the first job will say it
        searchpath.say_what_is_replaced(config.hydra, each_value_once(config))


def plan_of(config: DictConfig) -> dict[str, Any]:
    """How many jobs there will be, their words by number, and of a ranking what follows from them.

    See `count_jobs` and `planned` for what is None, and finalists.plan_of.
    """
    if finalists.is_ranking(config.hydra):
        return finalists.plan_of(_overrides(config), config.hydra.sweeper.finalists)
    return {"jobs": count_jobs(config), "overrides": planned(config)}


def planned(config: DictConfig) -> list[list[str]] | None:
    """The words of each job that the basic sweeper will make, by number; None for a search."""
    if config.hydra.sweeper._target_.rpartition(".")[2] != "BasicSweeper":
        return None
    return finalists.jobs_of(_overrides(config))


def _of_this_machine(hydra: Any) -> list[precheck.Check]:
    """What else is checked of jobs that run here, in the folder where the words were typed."""
    here = hydra.mode == RunMode.RUN or kind(hydra) in ("basic", "joblib")
    return [refuse_absent] if here and not hydra.job.chdir else []


def refuse_absent(task: DictConfig) -> None:
    """Raises RegraftError for images or a network that are not there.

    A job says it too, but in a folder of its own, and after others have been trained.
    """
    from regraft.architecture import refuse_unknown  # imports torch, as a job does
    from regraft.data import folders, manifest

    if task.data._target_ == "regraft.data.folders.image_folder":
        folders.existing(str(task.data.root))
    if task.data._target_ == "regraft.data.manifest.manifest":
        manifest.existing(str(task.data.path), task.data.root)
    if task.backbone._target_ == "regraft.backbone.Backbone":
        refuse_unknown(task.backbone.name)


def to_check(config: DictConfig, plan: dict[str, Any]) -> Iterable[list[str]]:
    """The words of the jobs that are checked before the first one runs; `plan` is plan_of's.

    All of them; of many, or of a search, as few as have every value in one of them.
    """
    jobs = [*(plan["overrides"] or ()), *chain(*plan.get("then", ()))]
    return jobs if 0 < len(jobs) <= MOST_CHECKED else each_value_once(config)


def each_value_once(config: DictConfig) -> Iterator[list[str]]:
    """Overrides of as few jobs as have every value of a sweep in one of them."""
    overrides = _overrides(config)
    fixed = [o.input_line for o in overrides if not o.is_sweep_override() and o.input_line]
    swept = [
        [f"{override.get_key_element()}={value}" for value in _values(override)]
        for override in overrides
        if override.is_interval_sweep() or _countable(override)
    ]
    for words in zip_longest(*swept):
        yield [*fixed, *(word or of[0] for word, of in zip(words, swept, strict=True))]


def _values(override: Override) -> Iterable[Any]:
    """The values of a sweep; of an interval, which is without its end, nearly its ends."""
    ends = override.value()
    if isinstance(ends, IntervalSweep):
        first, end = ends.start or 0, ends.end or 0
        return first, f"{first + 0.999 * (end - first):.6g}"
    return override.sweep_string_iterator()


def record_failure(hydra: Any, error: str) -> None:
    """Write that a job failed which could not write it itself, into what it has left."""
    folder = Path(hydra.runtime.output_dir)
    made = {"choices": options_of(hydra), "overrides": words_of(hydra)}
    result = masked(made) | result_of(folder) | {"status": "failed", "error": error}
    with suppress(OSError):  # its folder may be what it died of
        write_whole(folder / RESULT, f"{json.dumps(result, indent=2)}\n".encode())


def _overrides(config: DictConfig) -> list[Override]:
    """Of a sweep: those of `hydra.sweeper.params`, unless the command line has another."""
    words = [f"{key}={value}" for key, value in (config.hydra.sweeper.get("params") or {}).items()]
    parser = OverridesParser.create(config_loader=_loader())  # whose options a glob is about
    parsed = parser.parse_overrides([*words, *words_of(config.hydra)])
    return list({override.get_key_element(): override for override in parsed}.values())


def _loader() -> ConfigLoader | None:
    """That of the sweep which Hydra is about to run, if it is."""
    running = GlobalHydra.instance()
    return running.config_loader() if running.is_initialized() else None


def _countable(override: Override) -> bool:
    return override.is_discrete_sweep() and not isinstance(override.value(), Glob)


def _time_left(folder: Path, jobs: int) -> str:
    """How long the rest takes if it goes on like this; nothing before the first job has ended."""
    began = (folder / SWEEP).stat().st_mtime
    done = [path for path in folder.glob("[0-9]*/result.json") if _has_ended(path)]
    lately = sum(_ended[path] >= began for path in done)  # not before it was gone on with
    if not lately:
        return ""
    seconds = (time.time() - began) / lately * (jobs - len(done))
    return (
        f" · about {seconds / 60:.0f} min left"
        if seconds > 90
        else f" · about {seconds:.0f} s left"
    )


def find_by_number(hydra: Any) -> None:
    """Link a job's folder to its number, by which it is looked up, if it is called otherwise.

    Raises RegraftError for a name (hydra.sweep.subdir) that is another job's.
    """
    folder, own, number = sweep_folder(hydra), Path(hydra.runtime.output_dir), hydra.job.num
    place = folder / str(number)
    if own.resolve() == place.resolve():
        return
    others = (path for path in folder.glob("[0-9]*/") if path.resolve() == own.resolve())
    if other := next(others, None):
        raise precheck.of_another(str(own.name), number, other.name)
    place.symlink_to(os.path.relpath(own, folder), target_is_directory=True)


def has_begun(folder: Path) -> bool:
    """Whether a job has, wherever Hydra puts its own files (hydra.output_subdir)."""
    from regraft.jobs import is_job  # numpy and SciPy, which `--help` can do without

    return any(is_job(path) for path in folder.glob("[0-9]*/"))


def _has_ended(path: Path) -> bool:
    """Whether this is the result of a job that has ended; what has not changed is not read again,
    as the jobs of a long sweep would all read those of all before them."""
    written = path.stat().st_mtime
    if _ended.get(path) != written and '"status": "running"' not in path.read_text("utf-8"):
        _ended[path] = written
    return _ended.get(path) == written


def end(folder: Path) -> int:
    """Table, statistics and pictures of a sweep; 1 if a job of it failed, else 0."""
    from rich.console import Console

    from regraft import pictures, report
    from regraft.page import publish
    from regraft.progress import watched

    made, console = report.report(folder), Console()
    report.show(made, console)
    if words := search.best(folder, made.sweep.jobs):
        console.print(words, highlight=False, markup=False, soft_wrap=True)
    publish.publish(made, console)
    # Last, as nobody waits for them: the answer is there, and they can be drawn at any time.
    drawn = {job.folder: job.record for job in made.sweep.jobs if job.status == "finished"}
    pictures.of_sweep(watched(console, drawn, len(drawn), "pictures of the jobs"), drawn)
    return 1 if made.sweep.failed else 0
