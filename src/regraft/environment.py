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
OFF = ("", "0", "false", "no", "off", "none")  # what a variable says that switches nothing on
_NO_DEFAULT = object()


def variable(name: str, default: Any = _NO_DEFAULT) -> str | None:
    """The value of an environment variable, or the default where it is not set or empty.

    Raises RegraftError for a name that is not in the list, and for one that has neither.
    """
    if name not in NAMES:
        raise RegraftError(
            f"${{oc.env:{name}}}: a config may not read this variable (docs/safety.md lists those "
            "that it may); give its value on the command line, where the shell reads it"
            + did_you_mean(name, NAMES)
        )
    if default is _NO_DEFAULT and name in os.environ:
        return os.environ[name]
    if value := os.environ.get(name):
        return value
    if default is _NO_DEFAULT:
        raise RegraftError(f"${{oc.env:{name}}}: the environment variable {name} is not set")
    return None if default is None else str(default)


def is_on(name: str) -> bool:
    """Whether a variable that switches something on is set to anything but a word for off."""
    return os.environ.get(name, "").strip().lower() not in OFF


def cores() -> int:
    """How many cores this process may use: of its affinity, its container and its Slurm task."""
    from joblib import cpu_count  # takes 0.2 s

    found = [int(cpu_count())]
    if (task := os.environ.get("SLURM_CPUS_PER_TASK", "")).isdecimal():
        found.append(int(task))
    return max(1, min(found))


# In the place of OmegaConf's own, which reads all of them; for every config of this process.
OmegaConf.register_new_resolver("oc.env", variable, replace=True)
