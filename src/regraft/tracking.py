"""What is recorded of a job, once, in one place: result.json and, if there is one, the W&B run."""

import json
import logging
import math
import platform
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.utilities.exceptions import SIGTERMException

from regraft import __version__, faults, searchpath
from regraft.beside import is_search, sweep_folder
from regraft.complaints import explain
from regraft.earlier import RESULT, look
from regraft.errors import RegraftError
from regraft.interrupt import Stopped, attended
from regraft.lock import held
from regraft.masking import masked
from regraft.paths import group_of, shown, write_in_place, write_whole
from regraft.precheck import refuse_contradictions
from regraft.provenance import options_of, told_hydra, words_of

log = logging.getLogger(__name__)

# What a run goes on by, also when the disk has no room for more.
LEFT = ("id", "checkpoint", "best_epoch", "wandb", "halved", "lr_range", "resumed", "overrides")
PACKAGES = ("torch", "torchvision", "timm", "pytorch-lightning", "hydra-core", "wandb")


@dataclass(frozen=True)
class Job:
    """Where one job runs, and which words of the command line made it."""

    folder: Path
    choices: dict[str, str]  # group → option, Hydra's own groups left out
    overrides: tuple[str, ...]
    sweep: str | None  # name of the sweep it belongs to: date and time
    sources: dict[str, dict[str, str | None]] = field(default_factory=dict)  # that is not shipped
    whole: Path | None = None  # the folder that is gone on with: the sweep's, or the job's own
    hydra: dict[str, Any] = field(default_factory=dict)  # what it was told itself
    searching: bool = False  # whether it is one of a search, whose jobs depend on each other

    @classmethod
    def current(cls) -> "Job":
        """The job that Hydra is running."""
        hydra = HydraConfig.get()
        sweeping = hydra.mode == RunMode.MULTIRUN
        return cls(
            folder=Path(hydra.runtime.output_dir),
            choices=options_of(hydra),
            overrides=tuple(w for w in words_of(hydra) if not w.startswith("resume=")),
            hydra=told_hydra(hydra),
            sweep=group_of(Path(hydra.sweep.dir)) if sweeping else None,
            sources={found.config: found.as_dict() for found in searchpath.used(hydra)},
            whole=sweep_folder(hydra) if sweeping else None,
            searching=is_search(hydra),
        )


@dataclass
class Record:
    """One job's result, filled in as the story goes on."""

    job: Job
    config: DictConfig
    result: dict[str, Any]
    earlier: dict[str, Any] = field(default_factory=dict)  # the result that it goes on with
    run: Any = None  # the W&B run, if there is one
    close: Callable[..., object] = lambda run, exit_code: None  # ends it, in a bounded time
    started: float = field(default_factory=time.perf_counter)
    backbone: Any = None  # which counts the images that are sent through it

    def spent(self) -> dict[str, Any]:
        """Seconds and images of this process and of those that the run went on from.

        Of a process that was killed, what its last checkpoint or result says: what came after
        that is known to nobody.
        """
        before = self.earlier.get("cost", {})
        spent = {"wall_s": (before.get("wall_s") or 0.0) + time.perf_counter() - self.started}
        images = before.get("images_forwarded"), getattr(self.backbone, "images_forwarded", None)
        if images != (None, None):
            spent["images_forwarded"] = sum(count or 0 for count in images)
        return spent | {"wall_s": round(spent["wall_s"], 3)}

    def goes_on_from(self, spent: dict[str, Any]) -> None:
        """What the last checkpoint says was spent: more than the result, if its writer was killed.

        Both count all processes before, so the larger is the later.
        """
        before = self.earlier.get("cost", {})
        more = {name: max(value, before.get(name) or 0) for name, value in spent.items()}
        self.earlier = self.earlier | {"cost": before | more}

    def add(self, **parts: Any) -> None:
        """Add to the result; dictionaries are merged."""
        for key, part in parts.items():
            if isinstance(part, dict) and isinstance(self.result.get(key), dict):
                self.result[key].update(part)
            else:
                self.result[key] = part
        if told := {name: parts[name] for name in ("plan", "weights") if parts.get(name)}:
            self.tell(lambda run: run.config.update(masked(told), allow_val_change=True))

    def tell(self, something: Callable[[Any], object]) -> None:
        """Do something with the W&B run, if there is one; its failure must not be the job's."""
        if self.run is None:
            return
        try:
            something(self.run)
        except Exception as error:
            self.missed(f"{type(error).__name__}: {error}; the training goes on without it")

    def missed(self, why: str) -> None:
        """Say that something did not reach W&B: aloud the first time only, and in the result."""
        why = " ".join(why.split())
        if "problem" in self.result["wandb"]:
            log.info("Weights & Biases: %s", why)
            return
        self.result["wandb"]["problem"] = why
        log.warning("Weights & Biases: %s", why)

    def name_and_tags(self, *, backbone: str, data: str) -> tuple[str, tuple[str, ...]]:
        """What the W&B run is called and found by."""
        words = [self.result["choices"].get("strategy", ""), backbone, data]
        tags = dict.fromkeys(tag for tag in [*words, *self.config.tags] if tag)
        return "-".join([*words, f"s{self.result['seed']}"]), tuple(masked([*tags]))

    def call_it(self, *, backbone: str, data: str) -> None:
        """Give the W&B run the names of what was built, where an option only says "timm"."""

        def rename(run: Any) -> None:
            run.name, run.tags = self.name_and_tags(backbone=backbone, data=data)

        self.tell(rename)

    def write(self) -> None:
        """Write result.json, whole or not at all; on a full disk, over what stands there."""
        path = self.job.folder / RESULT
        try:
            write_whole(path, _text(self.result))
        except OSError as error:
            if write_in_place(path, _text(self.result)):
                return
            told = faults.of_output(error, self.job.folder)
            less = blank_result(self.job, self.config) | {"status": "failed"}
            less |= {key: self.result[key] for key in LEFT}
            write_in_place(path, _text(less | {"error": self.result["error"] or explain(told)}))
            raise told from error


def _text(result: dict[str, Any]) -> bytes:
    text = json.dumps(_strict(masked(result)), indent=2, default=str, allow_nan=False)
    return f"{text}\n".encode()


def _strict(value: Any) -> Any:
    """The same with null for what JSON has no number for: NaN and infinity."""
    if isinstance(value, dict):
        return {key: _strict(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_strict(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


@contextmanager
def recording(cfg: DictConfig) -> Iterator[Record]:
    """Record a job, finished or failed: result.json always, W&B closed with the true exit code.

    An interrupted one raises KeyboardInterrupt, which says how to go on.
    """
    job = Job.current()
    with held(job.folder):
        earlier = look(job.folder, cfg)
        record = Record(job, cfg, blank_result(job, cfg), earlier)
        record.add(id=earlier.get("id") or new_id())
        record.add(resumed=earlier.get("resumed", 0) + 1 if earlier else 0)
        if earlier:
            record.add(cost=record.spent(), lr_range=earlier.get("lr_range"))
        record.write()  # a killed job says that it was running
        yield from _recorded(record)


def _recorded(record: Record) -> Iterator[Record]:
    try:
        with attended(), _interruptible(record.job):
            refuse_contradictions(record.config)
            yield record
    except SystemExit:  # submitit has put the job back into the queue, and it will go on
        record.tell(lambda run: run.mark_preempting())
        raise
    except BaseException as error:
        told = faults.of_output(error, record.job.folder)
        interrupted = isinstance(error, KeyboardInterrupt)
        record.add(status="interrupted" if interrupted else "failed", error=explain(told))
        log.info("failed", exc_info=True)
        if told is error:
            raise
        raise told from error
    else:
        record.add(status="finished")
    finally:
        record.add(cost=record.spent())
        try:
            _write_last(record)
        finally:
            _finish(record)


@contextmanager
def _interruptible(job: Job) -> Iterator[None]:
    """Ctrl-C is a KeyboardInterrupt, also where Lightning makes it an exit with code 1."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit, SIGTERMException, Stopped) as error:
        if isinstance(error, SystemExit) and error.code != 1:
            raise  # of submitit, which has put the job back into the queue
        when = str(error) if isinstance(error, Stopped) else "interrupted"
        how = f"go on with: regraft resume {shown(job.whole or job.folder)}"
        if job.searching:
            how = "a search begins again, unless hydra.sweeper.storage keeps it (docs/search.md)"
        raise KeyboardInterrupt(f"{when}; {how}") from error


def _write_last(record: Record) -> None:
    """Write the result; where that fails after something else did, what is said is the latter."""
    try:
        record.write()
    except (OSError, RegraftError):
        if record.result["status"] == "finished":
            record.add(status="failed")
            raise
        log.info("%s could not be written", RESULT, exc_info=True)


def _finish(record: Record) -> None:
    """Close the W&B run; what went wrong with it is in the result, too."""
    before = dict(record.result["wandb"] or {})
    flat = {f"cost/{name}": value for name, value in record.result["cost"].items()}
    code = 0 if record.result["status"] == "finished" else 1
    record.tell(lambda run: run.summary.update(record.result["metrics"] | flat))
    record.tell(lambda run: record.close(run, exit_code=code))
    if before != (record.result["wandb"] or {}):
        _write_last(record)


def blank_result(job: Job, cfg: DictConfig) -> dict[str, Any]:
    """Every key of result.json, before anything is known."""
    quadrant = OmegaConf.select(cfg, "quadrant.name")
    size, _, domain = str(quadrant).partition("_")
    return {
        "status": "running",
        "error": None,
        "id": None,
        "choices": job.choices,
        "overrides": list(job.overrides),
        "hydra": job.hydra,
        "sources": job.sources,
        "seed": cfg.get("seed"),
        "strategy": {"name": job.choices.get("strategy"), "quadrant": None},
        "quadrant": {"name": quadrant, "size": size, "domain": domain} if quadrant else None,
        "metrics": {},
        "cost": {},
        "data": {},
        "plan": [],
        "features": None,
        "pretrain": None,
        "weights": None,
        "halved": None,
        "lr_range": None,
        "resumed": 0,
        "backbone": None,
        "input": None,
        "checkpoint": None,
        "best_epoch": None,
        "trial": False,
        "figures": None,
        "forecast": None,
        "advice": None,
        "scores": None,
        "calibration": None,
        "wandb": None,
        "versions": versions(),
        "machine": {},
        "git": git(),
    }


def new_id() -> str:
    """What tells a run from all others, wherever its files are moved to."""
    return uuid.uuid4().hex


def versions() -> dict[str, str]:
    """Versions of what changes numbers."""
    own = {"regraft": __version__, "python": platform.python_version()}
    return own | {name: metadata.version(name) for name in PACKAGES}


def machine(device: torch.device) -> dict[str, Any]:
    """Where a job computes: numbers and times depend on it."""
    cuda = device.type == "cuda"
    return {
        "host": platform.node(),
        "system": f"{platform.system()} {platform.machine()}",
        "device": torch.cuda.get_device_name(device) if cuda else device.type,
        "threads": torch.get_num_threads(),
    }


def git() -> dict[str, Any]:
    """Commit and cleanliness of the working directory's repository; empty outside one."""
    try:
        commit = _git("rev-parse", "HEAD")
        return {"commit": commit, "dirty": bool(_git("status", "--porcelain", "-uno"))}
    except (OSError, subprocess.SubprocessError):
        return {}


def _git(*arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments], capture_output=True, text=True, timeout=5, check=True
    )
    return done.stdout.strip()
