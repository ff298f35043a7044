"""Runs a job in this process, as Hydra would: composed from words, with a folder of its own."""

import copy
from pathlib import Path

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, open_dict
from stripes import filled

from regraft.paths import conf_folder


def run_job(folder: Path, *words: str, sweep: bool = False) -> float:
    """`python train.py <words>` without the start of a process; raises what the job raises.

    With `sweep`, as one of a sweep's jobs.
    """
    from regraft.experiment import run

    return run(composed(folder, *words, sweep=sweep))


def composed(folder: Path, *words: str, sweep: bool = False) -> DictConfig:
    """What these words mean for a job in this folder; `{stripes}` as in `runs.finished_run`."""
    folder.mkdir(parents=True, exist_ok=True)
    words = tuple(filled(word) for word in words)
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(conf_folder()), version_base="1.3"):
        mode = f"hydra.mode={'MULTIRUN' if sweep else 'RUN'}"
        cfg = compose("config", [*words, mode], return_hydra_config=True)
    with open_dict(cfg):
        cfg.hydra.runtime.output_dir = str(folder)
    HydraConfig.instance().set_config(cfg)
    task = copy.deepcopy(cfg)
    with open_dict(task):
        del task["hydra"]
    return task
