"""One examination from top to bottom: the parts of a job, then every check, slow ones last."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import get_args

from omegaconf import DictConfig
from rich.console import Console

from regraft.advice.measure import Auto
from regraft.data.folders import passed_over
from regraft.data.names import some
from regraft.data.readable import OnError
from regraft.data.sources import Source
from regraft.doctor import copies, estimate, labels, machine, network, pictures, pretrained
from regraft.doctor.findings import Finding, as_json, green, many, show, yellow
from regraft.doctor.job import Job, assemble
from regraft.doctor.look import look


def run(cfg: DictConfig, outputs: Path, *, json: bool) -> int:
    """Print what there is to say about a job; 1 if a finding is red, else 0.

    Raises RegraftError for what the job itself would refuse to begin with.
    """
    started = time.perf_counter()
    console = Console()
    with _quietly(), Console(stderr=True).status("looking at the job, for some seconds"):
        findings = examine(assemble(cfg, outputs))
    if json:
        print(as_json(findings))
    else:
        show(findings, console, time.perf_counter() - started)
    return int(any(finding.level == "red" for finding in findings))


def examine(job: Job) -> list[Finding]:
    """Every finding about a job, in the order in which a person wants to read them."""
    sample = look(job.images, job.cfg.seed, keep=estimate.BATCHES * job.images.batch_size)
    return [
        *what_is_to_be_found_out(job.strategy),
        *labels.counts(job),
        *labels.precision(job),
        *left_out(job.cfg.data),
        *not_read(job.images.source),
        *pictures.unreadable(job.images, sample, *_on_error(job.cfg.data)),
        *copies.exact(job.images),
        *pictures.near_copies(job.images, sample),
        *pictures.input_size(job.images, sample),
        *pictures.white(job.images.source.white),
        *pictures.brightness(job.images, sample),
        *pretrained.weights(job.pretrained, job.parameters()),
        *network.rates(job),
        *labels.enough(job),
        *network.batch_norm(job),
        *network.computed_once(job),
        *machine.disks(job),
        *machine.environment(job, sample),
        *estimate.estimate(job, sample),
    ]


def what_is_to_be_found_out(strategy: object) -> list[Finding]:
    """Of strategy=auto, that what is trained is not known yet."""
    if not isinstance(strategy, Auto):
        return []
    words = "what is trained is measured first; the rest of this page is about feature_extraction"
    return [yellow("strategy", words, "regraft advise with the same words says what it will be")]


def left_out(data: DictConfig) -> list[Finding]:
    """What lies in a folder of images and is not read."""
    if data._target_ != "regraft.data.folders.image_folder":
        return []
    found, findings = passed_over(data.root), []
    if found.folders:
        words = f"not read: {some(found.folders)}"
        fix = "delete them, or move what is meant to be read into a class folder"
        findings.append(yellow("folders left out", words, fix))
    if found.loose:
        beside = many(len(found.loose), "image")
        words = f"{beside} beside the class folders: {some(found.loose)}"
        findings.append(yellow("loose images", words, "move them into the folder of their class"))
    return findings or [green("folders", "every folder is read, and no image lies beside them")]


def not_read(source: Source) -> list[Finding]:
    """Files in class folders that are no images to us; and, apart, what nobody takes for one."""
    findings = []
    if source.left_out:
        fix = "install what is named (extras: heic, dicom), or convert or delete them"
        findings.append(yellow("files left out", some(source.left_out), fix))
    if source.litter:
        findings.append(green("beside images", f"not looked into: {source.litter}"))
    return findings


def _on_error(data: DictConfig) -> tuple[str | None, str]:
    """What is to happen to unreadable images, and what else could."""
    ways = [f"data.on_error={way}" for way in get_args(OnError) if way != "fail"]
    return (data.on_error if "on_error" in data else None), " or ".join(ways)


@contextmanager
def _quietly() -> Iterator[None]:
    """Without the warnings of the rooms below: here they are findings."""
    log = logging.getLogger("regraft")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(level)
