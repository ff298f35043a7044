"""Whether the machine has what the job needs: room on its disks, cores, a GPU that is used."""

import shutil
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch
from rich.filesize import decimal

from regraft.doctor.findings import Finding, green, many, red, yellow
from regraft.doctor.job import Job
from regraft.doctor.look import Sample
from regraft.environment import cores
from regraft.features import nbytes
from regraft.paths import features_folder
from regraft.wandb_service import wandb_mode

COPIES = 3  # of a trained parameter in a checkpoint: itself and what the optimizer knows of it
LONG_READ_S = 30  # from here on, reading in several processes is worth a word


def disks(job: Job) -> list[Finding]:
    """Room for checkpoints and for what is computed once, where they will lie."""
    needs = {"outputs": (job.outputs, _checkpoints(job)), "cache": (features_folder(), _kept(job))}
    together: dict[int, int] = defaultdict(int)
    for folder, need in needs.values():
        together[_existing(folder).stat().st_dev] += need
    findings = []
    for name, (folder, need) in needs.items():
        there = _existing(folder)
        free, wanted = shutil.disk_usage(there).free, together[there.stat().st_dev]
        found = f"{folder}: needs about {decimal(need)}, {decimal(free)} are free"
        if free >= wanted:
            findings.append(green(f"disk, {name}", found))
        else:
            room = "run elsewhere" if name == "outputs" else "set REGRAFT_CACHE to another disk"
            fix = f"make room (`regraft cache prune` removes old features), or {room}"
            findings.append(red(f"disk, {name}", found, fix))
    return findings


def _checkpoints(job: Job) -> int:
    """Bytes of the best and the last; the best is completed with what was kept."""
    return 4 * (2 * COPIES * job.trained() + job.parameters())


def _kept(job: Job) -> int:
    images = job.images
    if job.once.cut is not None:
        return nbytes(job.caching, job.once.cut, images)
    if not images.decoded_cache or isinstance(images.datasets["train"].split.images, np.ndarray):
        return 0
    size = 3 * images.input.size[0] * images.input.size[1] * sum(images.sizes.values())
    return size if job.caching.store.fits(size) else 0


def _existing(folder: Path) -> Path:
    folder = folder.expanduser().absolute()
    return next(path for path in (folder, *folder.parents) if path.exists())


def environment(job: Job, sample: Sample) -> list[Finding]:
    """The device, the processes that read, and where the curves go."""
    return [_device(job), _workers(job, sample), _curves(job)]


def _device(job: Job) -> Finding:
    device = job.trainer.strategy.root_device
    if device.type == "cpu" and (torch.cuda.is_available() or torch.backends.mps.is_available()):
        fix = "trainer.accelerator=auto"
        return yellow("device", "a GPU is here, but the training would run on the CPU", fix)
    if device.type == "cuda":
        return green("device", f"{device}, {torch.cuda.get_device_name(device)}")
    return green("device", f"{device}, {many(torch.get_num_threads(), 'thread')}")


def _workers(job: Job, sample: Sample) -> Finding:
    images, there = job.images, cores()
    found = f"loader.workers={images.workers}, and {there} cores"
    if images.workers > there:
        return yellow("workers", found, f"loader.workers={there}: more of them wait for each other")
    read = sum(one.seconds for one in sample.seen) / max(1, len(sample.seen)) * sample.total
    files = not isinstance(images.datasets["train"].split.images, np.ndarray)
    if files and images.workers == 0 and there > 1 and read > LONG_READ_S:
        return yellow(
            "workers",
            f"{found}; to read all images in one process takes {read:.0f} s",
            f"loader.workers={there}",
        )
    return green("workers", found)


def _curves(job: Job) -> Finding:
    if job.cfg.logger._target_ != "regraft.logger.wandb_logger":
        return green("W&B", "none: what is recorded stays in the run's folder")
    mode = wandb_mode()
    found = f"{mode}; upload with make sync" if mode == "offline" else mode
    return green("W&B", found)
