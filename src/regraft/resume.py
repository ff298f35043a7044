"""`regraft resume`: finishes what is unfinished in a folder, and leaves the rest alone."""

import json
import sys
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.plugins import Plugins
from hydra.types import HydraContext, RunMode
from omegaconf import OmegaConf

from regraft import finalists, launch, searchpath, sweep
from regraft.earlier import RESULT, result_of
from regraft.errors import RegraftError, did_you_mean
from regraft.hydra_internals import Callbacks
from regraft.hydra_loader import refuse_word
from regraft.lock import held
from regraft.masking import MASK
from regraft.paths import SWEEP, conf_folder, shown
from regraft.provenance import config_dir_of, hydras_words_of, told_hydra, words_of


def resume(folder: Path) -> None:
    """Go on with a run, or with the jobs of a sweep that have not finished."""
    sys.argv = ["regraft resume"]
    launch.guard(lambda: _resume(folder.absolute()))


def _resume(folder: Path) -> None:
    if (folder / SWEEP).exists():
        _go_on_with_sweep(folder, None)
    elif (folder.parent / SWEEP).exists() and folder.name.isdecimal():
        _go_on_with_sweep(folder.parent, int(folder.name))
    elif (folder / RESULT).exists() or (folder / ".hydra").is_dir():
        _go_on_with_run(folder)
    else:
        beside = [path.name for path in folder.parent.glob("*/") if path != folder]
        raise RegraftError(
            f"{shown(folder)} is no run (outputs/runs/<date>/<time>) and no sweep "
            f"(outputs/sweeps/<date>/<time>){did_you_mean(folder.name, beside)}"
        )


def _go_on_with_run(folder: Path) -> None:
    result = result_of(folder)
    if result.get("status") == "finished":
        print(f"{shown(folder)} has finished: nothing to do")
        return
    with held(folder):
        pass  # before Hydra writes anything into it
    # Not Hydra's own record, which a run that was refused here has overwritten.
    if not result and not (folder / ".hydra").is_dir():
        raise RegraftError(f"{shown(folder)} is no run's folder: its {RESULT} cannot be read")
    words: Any = result.get("overrides")
    if words is None or MASK in str(words):
        words = OmegaConf.to_container(OmegaConf.load(folder / ".hydra" / "overrides.yaml"))
    own = _told_hydra(folder, result)
    words = [*own["overrides"], *words]
    sys.argv[1:] = [*_lasting(words), "resume=auto", f"hydra.run.dir={_quoted(folder)}"]
    if found := own["config_dir"]:
        sys.argv += ["--config-dir", found]
        searchpath.use(found)
    launch.run_jobs()


def _go_on_with_sweep(folder: Path, only: int | None) -> None:
    plan = _plan(folder)
    if plan.get("overrides") is None:
        raise RegraftError(
            f"{shown(folder)}: the jobs of this sweep are not known beforehand, as those of a "
            "search are not: start it again, or go on with one of its jobs by the words it had"
        )
    count = len(plan["overrides"])
    if only is not None and only >= count:
        raise RegraftError(f"{shown(folder)}: there is no job {only}, but 0 to {count - 1}")
    numbers = range(count) if only is None else [only]
    left = _unfinished(folder, numbers)
    due = [] if left or only is not None else _second_round(folder, plan)
    if not left and not due:
        what = f"all {len(numbers)} jobs have" if only is None else f"job {only} has"
        print(f"{shown(folder)}: {what} finished: nothing to do")
        return
    print(f"{shown(folder)}: {len(left or due)} of {len(numbers) + len(due)} jobs to finish")
    with held(folder):
        (folder / SWEEP).touch()  # from here on, it is measured how long a job takes
        sweep.started.append(folder)
        words = [*_lasting(plan["words"]), "hydra.mode=MULTIRUN"]
        launcher, at_once = _launcher(
            folder, [*words, f"hydra.sweep.dir={_quoted(folder)}"], len(left or due)
        )
        _launch(launcher, plan, left or due, at_once)
        if left and only is None:
            _launch(launcher, plan, _second_round(folder, plan), at_once)


def _unfinished(folder: Path, numbers: Iterable[int]) -> list[int]:
    return [n for n in numbers if result_of(folder / str(n)).get("status") != "finished"]


def _second_round(folder: Path, plan: dict[str, Any]) -> list[int]:
    """The numbers of the jobs that follow from the probes of a ranking, if they are new."""
    before = len(plan["overrides"])
    plan["overrides"] += finalists.second_round(folder, plan)
    return [*range(before, len(plan["overrides"]))]


def _launch(launcher: Any, plan: dict[str, Any], left: list[int], at_once: int | None) -> None:
    stopped: list[Exception] = []
    for first, last in _ranges(left, at_once):
        jobs = [[*plan["overrides"][n], "resume=auto"] for n in range(first, last + 1)]
        try:
            launcher.launch(jobs, initial_job_idx=first)
        except Exception as error:  # of a job that has died; the others are to go on
            stopped.append(error)
    if stopped:
        raise stopped[0]


def _plan(folder: Path) -> dict[str, Any]:
    """The sweep's words and those of all its jobs, as they were typed."""
    text = (folder / SWEEP).read_text(encoding="utf-8")
    if MASK not in text:
        return dict(json.loads(text))
    config: Any = OmegaConf.load(folder / "multirun.yaml")  # Hydra's own, with the secrets
    words = [*hydras_words_of(config.hydra), *words_of(config.hydra)]
    return {"words": words} | sweep.plan_of(config)


def _launcher(folder: Path, words: list[str], jobs: int) -> tuple[Any, int | None]:
    """What launches the sweep's jobs, as Hydra's own sweeper would get it; and how many at most
    at once."""
    stored = folder / "multirun.yaml"
    told: Any = OmegaConf.load(stored) if stored.exists() else None
    searchpath.use(told and config_dir_of(told.hydra))
    GlobalHydra.instance().clear()
    initialize_config_dir(str(conf_folder()), job_name="train", version_base="1.3")
    hydra: Any = GlobalHydra.instance().hydra
    config = hydra.compose_config("config", words, RunMode.MULTIRUN, with_log_configuration=True)
    sweep.stop_in_peace(config, folder)
    context = HydraContext(config_loader=hydra.config_loader, callbacks=Callbacks(config))
    sweep.begin(config, jobs)
    launcher = Plugins.instance().instantiate_launcher(
        config=config, hydra_context=context, task_function=launch.job
    )
    return launcher, config.hydra.sweeper.get("max_batch_size")


def _ranges(numbers: list[int], most: int | None = None) -> Iterator[tuple[int, int]]:
    """The first and the last of numbers that follow each other, at most so many.

    >>> list(_ranges([0, 3, 4, 5, 9]))
    [(0, 0), (3, 5), (9, 9)]
    >>> list(_ranges([0, 1, 2], most=2))
    [(0, 1), (2, 2)]
    """
    for _, group in groupby(enumerate(numbers), lambda pair: pair[1] - pair[0]):
        members = [number for _, number in group]
        size = most or len(members)
        for start in range(0, len(members), size):
            part = members[start : start + size]
            yield part[0], part[-1]


def _told_hydra(folder: Path, result: dict[str, Any]) -> dict[str, Any]:
    """What a run has told Hydra itself; as Hydra wrote it down, where the result does not say."""
    told, stored = result.get("hydra"), folder / ".hydra" / "hydra.yaml"
    if isinstance(told, dict) and MASK not in str(told):
        return told
    if not stored.exists():
        return {"overrides": [], "config_dir": None}
    return told_hydra(OmegaConf.load(stored).hydra)


def _lasting(words: Any) -> list[str]:
    """Words of a command line that hold again: what it was about, not where and how it began."""
    places = ("hydra.run.dir=", "hydra.sweep.dir=", "hydra.output_subdir=")
    moment = ("resume=", "hydra.mode=", *places)
    kept = [str(word) for word in words if not str(word).startswith(moment)]
    for word in kept:
        refuse_word(word)
    return kept


def _quoted(folder: Path) -> str:
    text = str(folder).replace("\\", "\\\\").replace("'", "\\'")
    return f"'{text}'"
