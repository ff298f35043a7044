"""What an earlier process has left in a run's folder, and whether this one may go on with it."""

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from regraft.beside import kind
from regraft.config import resolved
from regraft.errors import RegraftError
from regraft.masking import masked
from regraft.paths import shown
from regraft.provenance import hydras_words_of

_log = logging.getLogger(__name__)
RESULT = "result.json"
CONFIG = "config.yaml"
# What may be another when a run goes on: no number depends on it.
FREE = ("resume", "output_dir", "tags", "logger", "loader.workers", "figures")


def goes_on(cfg: DictConfig) -> bool:
    """Whether the job is to go on with what is in its folder: `resume=auto`, or a launcher that
    queues jobs again by itself, in the same folder."""
    return cfg.get("resume") == "auto" or kind(HydraConfig.get()) in ("local", "slurm")


def result_of(folder: Path) -> dict[str, Any]:
    """The result that is in a folder, so far; {} if there is none that can be read."""
    try:
        result = json.loads((folder / RESULT).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return result if isinstance(result, dict) else {}


def finished(cfg: DictConfig) -> float | None:
    """The accuracy of a job that is to go on but has finished; None if there is something to do."""
    folder = Path(HydraConfig.get().runtime.output_dir)
    result = result_of(folder)
    if not goes_on(cfg) or result.get("status") != "finished":
        return None
    refuse_another(folder, masked(resolved(cfg)))
    print(f"{shown(folder)} has finished: nothing to do")
    return float(result["metrics"].get("val/acc", "nan"))


def look(folder: Path, cfg: DictConfig) -> dict[str, Any]:
    """The result so far of the run that this job goes on with; {} in a new folder.

    Raises RegraftError if the folder holds a run that was not asked for, or another one.
    """
    # A job that was refused before it began has left no more than a result that says so.
    if not any((folder / name).exists() for name in (CONFIG, "checkpoints")):
        hydra = HydraConfig.get()
        named = any("hydra.run.dir=" in word for word in hydras_words_of(hydra))
        if cfg.get("resume") == "auto" and hydra.mode == RunMode.RUN and not named:
            _log.warning("resume=auto finds nothing in a new folder: give hydra.run.dir=<folder>")
        return {}
    if not goes_on(cfg):
        raise RegraftError(
            f"{shown(folder)} holds the result of an earlier run; choose a folder of its own, or "
            f"go on with it: regraft resume {shown(folder)}"
        )
    refuse_another(folder, masked(resolved(cfg)))
    return result_of(folder)


def refuse_another(folder: Path, config: dict[str, Any]) -> None:
    """Raises RegraftError naming the first key in which a run's config is not this one."""
    try:
        stored = OmegaConf.to_container(OmegaConf.load(folder / CONFIG))
    except OSError:
        return  # it was stopped before anything was done
    assert isinstance(stored, dict)
    before: dict[str, Any] = {str(key): value for key, value in stored.items()}
    then, now = (
        dict(_leaves(_on_any_device(one), str(one.get("output_dir")))) for one in (before, config)
    )
    for key in [*then, *now]:
        if not key.startswith(FREE) and then.get(key) != now.get(key):
            raise RegraftError(
                f"{shown(folder)}: this run has {key}={then.get(key)}, and now it is "
                f"{now.get(key)}: that would be another run, which wants a folder of its own"
            )


def _on_any_device(config: dict[str, Any]) -> dict[str, Any]:
    """The config without which of several devices the job was given: another one will do."""
    trainer = config.get("trainer")
    devices = trainer.get("devices") if isinstance(trainer, dict) else None
    if isinstance(trainer, dict) and isinstance(devices, list) and len(devices) == 1:
        return {**config, "trainer": {**trainer, "devices": 1}}
    return config


def _leaves(node: Any, folder: str, key: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted keys and values; folders of the run's own are the same wherever the run lies."""
    if isinstance(node, dict) and node:
        for name, inner in node.items():
            yield from _leaves(inner, folder, f"{key}.{name}" if key else str(name))
    elif isinstance(node, list) and node:
        for number, inner in enumerate(node):
            yield from _leaves(inner, folder, f"{key}.{number}")
    else:
        yield key, node.replace(folder, ".") if isinstance(node, str) else node
