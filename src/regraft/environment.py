"""What a config may know of the environment: `${oc.env:NAME}` for these names and no others; and
how many cores there are to work on."""

import os
from typing import Any

from omegaconf import OmegaConf

from regraft.errors import RegraftError, did_you_mean

# Where things lie, who works and on which part of which machine; nothing that opens a door.
NAMES = {
    *("USER", "LOGNAME", "HOME", "HOSTNAME", "TMPDIR", "SCRATCH", "WORK"),
    *("DATA", "DATA_DIR", "DATA_ROOT", "DATASETS", "CUDA_VISIBLE_DEVICES"),
    *("WANDB_PROJECT", "WANDB_ENTITY", "WANDB_RUN_GROUP"),
    *("SLURM_JOB_ID", "SLURM_JOB_NAME", "SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID"),
    *("SLURM_CPUS_PER_TASK", "SLURM_TMPDIR", "SLURM_SUBMIT_DIR"),
    *("SLURM_PROCID", "SLURM_LOCALID", "SLURM_NODEID"),
}
_NO_DEFAULT = object()


def variable(name: str, default: Any = _NO_DEFAULT) -> str | None:
    """The value of an environment variable, or the default where it is not set.

    Raises RegraftError for a name that is not in the list, and for one that has neither.
    """
    if name not in NAMES:
        raise RegraftError(
            f"${{oc.env:{name}}}: a config may not read this variable (docs/safety.md lists those "
            "that it may); give its value on the command line, where the shell reads it"
            + did_you_mean(name, NAMES)
        )
    if name in os.environ:
        return os.environ[name]
    if default is _NO_DEFAULT:
        raise RegraftError(f"${{oc.env:{name}}}: the environment variable {name} is not set")
    return None if default is None else str(default)


def cores() -> int:
    """How many cores this process may use."""
    known = hasattr(os, "sched_getaffinity")  # not on macOS
    return len(os.sched_getaffinity(0)) if known else os.cpu_count() or 1


# In the place of OmegaConf's own, which reads all of them; for every config of this process.
OmegaConf.register_new_resolver("oc.env", variable, replace=True)
