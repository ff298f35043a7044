"""How long doctor said that a training takes, kept for the run of the same config: it records both.

A small file in the cache, by everything that the time depends on but the machine, whose cache it
is.
"""

import json
from contextlib import suppress
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from regraft.fingerprint import key
from regraft.paths import cache_folder, write_whole

FREE = ("output_dir", "resume", "tags", "logger")  # of a config, on which the time hardly depends


def keep(cfg: DictConfig, seconds: float) -> None:
    """Keep what doctor predicts for a config; where it cannot be written, nothing is compared."""
    with suppress(OSError):
        file = _file(cfg)
        file.parent.mkdir(parents=True, exist_ok=True)
        write_whole(file, json.dumps({"seconds": round(seconds, 3)}).encode())


def cost(cfg: DictConfig) -> dict[str, float]:
    """What was predicted for a config, for the costs in result.json; {} if nothing was."""
    try:
        return {"predicted_s": float(json.loads(_file(cfg).read_bytes())["seconds"])}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _file(cfg: DictConfig) -> Path:
    asked = OmegaConf.masked_copy(cfg, [name for name in map(str, cfg) if name not in FREE])
    text = OmegaConf.to_yaml(asked)  # its ${…} unresolved: some name the run's folder
    return cache_folder() / "doctor" / f"{key(config=text, folder=str(Path.cwd()))}.json"
