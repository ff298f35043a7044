"""What Optuna is told about our jobs, where `hydra/sweeper=optuna` chooses their settings."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf, read_write
from omegaconf.errors import OmegaConfBaseException

from regraft.beside import kind
from regraft.provenance import hydras_words_of

if TYPE_CHECKING:  # numpy and SciPy come with it, which `--help` can do without
    from regraft.jobs import Job

RESULTS = "optimization_results.yaml"  # what the sweeper leaves in the sweep's folder


def prepare(config: DictConfig) -> None:
    """Set what follows from our jobs, unless the command line says otherwise: they return an
    accuracy, so more is better; and a seed makes the same choices again."""
    import optuna  # the sweeper's own, which tells of every trial on the terminal

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    said = {word.partition("=")[0].lstrip("+") for word in hydras_words_of(config.hydra)}
    ours: dict[str, Any] = {"direction": "maximize"}
    if kind(config.hydra) == "basic":
        ours["n_jobs"] = 1  # one after the other, so each may learn from the one before
    if "seed" in config.hydra.sweeper.sampler and isinstance(config.get("seed"), int):
        ours["sampler.seed"] = config.seed
    with read_write(config.hydra):
        for key, value in ours.items():
            if f"hydra.sweeper.{key}" not in said:
                OmegaConf.update(config.hydra.sweeper, key, value)


def best(folder: Path, jobs: "Sequence[Job]") -> str | None:
    """The best trial of a search in words, settings as they are typed; None without one.

    `jobs` are those of the search: which of them it was, the sweeper does not say.
    """
    try:
        found = OmegaConf.to_container(OmegaConf.load(folder / RESULTS))
        assert isinstance(found, dict)
        value, params = float(found["best_value"]), dict(found["best_params"])
    except (OSError, OmegaConfBaseException, KeyError, TypeError, ValueError, AssertionError):
        return None  # no search, or one for several things at once
    words = " ".join(f"{key}={setting}" for key, setting in params.items())
    reached = (j.number for j in jobs if math.isclose(j.metrics.get("val/acc", math.nan), value))
    return f"best of the search: job {next(reached, '?')}, val/acc {value:.3f}: {words}"
