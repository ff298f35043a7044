"""A sweep in two rounds: every candidate for the backbone is probed, then the best are trained.

Both rounds go through the sweep's launcher, so they run where any other sweep does. What follows
from which probe is written down before the first job, so that a sweep that was cut off goes on.
"""

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Any, Literal

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.plugins import Plugins
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, RunMode, TaskFunction
from omegaconf import DictConfig, OmegaConf

from regraft.complaints import ONLY_SEARCHED
from regraft.errors import RegraftError
from regraft.masking import masked
from regraft.paths import SWEEP, write_whole
from regraft.provenance import key_of

# What features of a frozen trunk do not depend on: such words are for the training alone.
OF_TRAINING = (
    *("strategy", "freeze", "head", "optimizer", "scheduler", "augment", "balance", "compile"),
    "features.views",
)
PROBE = ["strategy=probe", "augment=none", "balance=none", "features.views=0"]
Words = list[str]  # of one job


class Finalists(Sweeper):
    """Probes all candidates; `finalists` of them, the best, are trained, or "all".

    `published` is a file like timm's results-imagenet.csv, with the columns model and top1.
    """

    def __init__(
        self,
        max_batch_size: int | None,
        params: dict[str, str] | None,
        finalists: int | Literal["all"],
        published: str | None,
    ) -> None:
        self.max_batch_size, self.params = max_batch_size, params or {}
        self.finalists, self.published = finalists, published

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """What Hydra knows, before it asks for the sweep."""
        self.config, self.hydra_context = config, hydra_context
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> Any:
        """Both rounds. Raises RegraftError for what is no ranking, and if no probe has a result."""
        assert self.config is not None and self.hydra_context is not None
        parser = OverridesParser.create(config_loader=self.hydra_context.config_loader)
        words = [*(f"{key}={value}" for key, value in self.params.items()), *arguments]
        plan = plan_of(parser.parse_overrides(words), self.finalists)
        for trainings in plan["then"]:
            self.validate_batch_is_legal(trainings)  # or a mistake would show after the probes
        folder = Path(self.config.hydra.sweep.dir)
        folder.mkdir(parents=True, exist_ok=True)
        if self.published is not None:
            keep_published(Path(self.published), folder)
        OmegaConf.save(self.config, folder / "multirun.yaml")
        probed = self._launch(plan["overrides"], 0)
        return [*probed, *self._launch(second_round(folder, plan), len(plan["overrides"]))]

    def _launch(self, jobs: Sequence[Words], first: int) -> list[Any]:
        """Run so many jobs, in batches if there is a largest batch; a job that died is raised."""
        assert self.launcher is not None
        done: list[Any] = []
        for batch in batched(jobs, self.max_batch_size):
            self.validate_batch_is_legal(batch)
            found = self.launcher.launch(batch, initial_job_idx=first + len(done))
            for one in found:
                _ = one.return_value
            done += found
        return done


# Hydra takes plugins out of its own package only. A file there would be read by every program of
# this environment that uses Hydra; so this module answers to that name where `register` was called.
Finalists.__module__ = "hydra_plugins.regraft"


def register() -> None:
    """Make the sweeper known to Hydra."""
    sys.modules[Finalists.__module__] = sys.modules[__name__]
    Plugins.instance().register(Finalists)


def is_ranking(hydra: Any) -> bool:
    """Whether a sweep is one in two rounds."""
    target = f"{Finalists.__module__}.{Finalists.__name__}"
    return hydra.mode == RunMode.MULTIRUN and hydra.sweeper.get("_target_") == target


def jobs_of(overrides: Sequence[Override]) -> list[Words]:
    """The words of the jobs of a sweep, one for every combination, as Hydra's own sweeper has them.

    Raises RegraftError for an interval, in which values are searched for.
    """
    words: dict[str, Words] = {}
    for override in overrides:
        key = override.get_key_element()
        words[key] = [f"{key}={value}" for value in _values(override)]
    return [list(job) for job in product(*words.values())]


def _values(override: Override) -> Iterable[str]:
    if not override.is_sweep_override():
        return [override.get_value_element_as_str()]
    if not override.is_discrete_sweep():
        raise RegraftError(ONLY_SEARCHED)
    return override.sweep_string_iterator()


def batched(jobs: Sequence[Words], most: int | None) -> Iterator[list[Words]]:
    """The jobs in batches of `most`; None or -1: all at once.

    >>> [len(batch) for batch in batched([["a"], ["b"], ["c"]], 2)]
    [2, 1]
    """
    size = len(jobs) if most in (None, -1) else most or 1
    for start in range(0, len(jobs), size or 1):
        yield list(jobs[start : start + size])


def plan_of(overrides: Sequence[Override], finalists: Any) -> dict[str, Any]:
    """The jobs of a sweep as sweep.json has them.

    "overrides" are the words of the probes, "then" of each candidate's trainings, one per seed.
    Raises RegraftError for what cannot be ranked.
    """
    if finalists != "all" and (type(finalists) is not int or finalists < 2):
        raise RegraftError(
            f"hydra.sweeper.finalists={finalists}: give how many of the best are trained, at least "
            "2 as one has nothing to be compared with, or all"
        )
    for override in overrides:
        key = override.get_key_element().lstrip("+~")
        if override.is_sweep_override() and not (_is_of_candidate(key) or key == "seed"):
            raise RegraftError(
                f"{key}: a ranking of backbones takes several values of backbone, of what is below "
                "it and of seed; give one value here, or a sweep for each"
            )
    then: dict[tuple[str, ...], list[Words]] = {}
    for words in jobs_of(overrides):
        own = then.setdefault(tuple(w for w in words if _is_of_candidate(key_of(w))), [])
        if words not in own:
            own.append(words)
    if len(then) < 2:
        what = " ".join(next(iter(then), ())) or "the default one"
        raise RegraftError(
            f"one backbone ({what}) leaves nothing to rank: give several, "
            "backbone=resnet18,convnext_tiny"
        )
    trainings = list(then.values())
    most = len(then) if finalists == "all" else min(finalists, len(then))
    return {
        "jobs": len(then) + most * len(trainings[0]),
        "overrides": [_probe(of_one[0]) for of_one in trainings],
        "then": trainings,
        "finalists": most,
    }


def second_round(folder: Path, plan: dict[str, Any]) -> list[Words]:
    """The trainings of the best candidates that are not planned yet, now written into sweep.json.

    None for another kind of sweep. Raises RegraftError if no probe has a result.
    """
    if "then" not in plan:
        return []
    from regraft.ranking import best  # numpy and SciPy, which `--help` can do without

    chosen = best(folder, len(plan["then"]), plan["finalists"])
    jobs = [words for number in chosen for words in plan["then"][number]]
    new = [words for words in jobs if words not in plan["overrides"]]
    planned = [*plan["overrides"], *new]
    if (folder / SWEEP).exists():
        stored = json.loads((folder / SWEEP).read_text(encoding="utf-8"))
        stored |= {"jobs": len(planned), "overrides": masked(planned)}
        write_whole(folder / SWEEP, json.dumps(stored).encode())
    return new


def keep_published(path: Path, folder: Path) -> None:
    """Copy a table of published accuracies into the sweep's folder.

    Raises RegraftError if it cannot be read or has no columns model and top1.
    """
    from regraft.ranking import PUBLISHED, read_published

    read_published(path)
    write_whole(folder / PUBLISHED, path.read_bytes())


def _is_of_candidate(key: str) -> bool:
    return key.partition(".")[0] == "backbone"


def _probe(words: Words) -> Words:
    """The words of the probe of a candidate that is trained with these."""
    return [*(w for w in words if not f"{key_of(w)}.".startswith(_prefixes())), *PROBE]


def _prefixes() -> tuple[str, ...]:
    return tuple(f"{key}." for key in OF_TRAINING)
