"""`regraft predict`: what a trained network says of images, from its files alone, offline."""

import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.text import Text
from torch import nn

from regraft import predictions, progress, threshold, trained
from regraft.calibration import Calibration
from regraft.complaints import explain
from regraft.data.formats import litter, worded
from regraft.data.readable import LEFT_OUT, Skipped, listing
from regraft.data.transforms import InputConfig
from regraft.environment import cores
from regraft.errors import RegraftError
from regraft.escaping import printable
from regraft.faults import is_out_of_memory, of_output
from regraft.interrupt import attended
from regraft.paths import shown, whole
from regraft.predict import asked, files, read
from regraft.predict.answers import Write, answers, csv_lines, format_of


@dataclass(frozen=True)
class How:
    """How it is done: what of it is told, and how fast."""

    top: int  # of the classes
    precision: float | None  # of what is not abstained from
    threshold: float | None  # of probability, below which it is
    batch_size: int
    workers: int | None  # threads that read images; None for as many as there are cores
    device: str  # "auto" for the accelerator, if there is one
    path_column: str  # of tables


@dataclass
class Count:
    """How many images were predicted, abstained from, and left out; and the first of those."""

    predicted: int = 0
    abstained: int = 0
    skipped: int = 0
    first: Skipped | None = None
    left_out: Counter[str] = field(default_factory=Counter)  # of those, what is no image to us

    def skip(self, one: Skipped) -> None:
        self.skipped += 1
        if one.reason.startswith(LEFT_OUT):
            self.left_out[one.reason.removeprefix(LEFT_OUT)] += 1
        self.first = self.first or one


def predict(source: Path, images: Sequence[str], out: Path | None, how: How) -> None:
    """Write what the network of a run, a checkpoint or an exported folder says of `images`.

    To `out`, which is there whole or not at all, or else as CSV to standard output. What cannot
    be read is listed beside it, or on standard error. Raises RegraftError for what is typed wrong,
    and if not a single image can be read.
    """
    console = Console(stderr=True)
    try:
        with attended():
            _predict(source, images, out, how, console)
    except BrokenPipeError:  # whoever read it, such as head, has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt:
        raise RegraftError(f"interrupted; {_nothing(out)}") from None
    except RegraftError:
        raise
    except Exception as error:
        if is_out_of_memory(error):
            raise RegraftError(
                f"out of memory; {_nothing(out)}; --batch-size={max(1, how.batch_size // 2)} needs "
                "less, or fewer --workers"
            ) from error
        told = of_output(error, out, "--out=<file>") if out else error
        raise RegraftError(f"{explain(told)}; {_nothing(out)}") from error


def _nothing(out: Path | None) -> str:
    return f"{shown(out)} was not written" if out else "what was printed is not all"


def _predict(
    source: Path, images: Sequence[str], out: Path | None, how: How, console: Console
) -> None:
    threshold.refuse(precision=how.precision, threshold=how.threshold)  # before any work
    _refuse(out, images)
    which = asked.images(images, path_column=how.path_column)
    network = trained.load(source)
    calibration = threshold.chosen(network, precision=how.precision, threshold=how.threshold)
    if network.calibration == trained.UNCALIBRATED:
        _say(console, f"{shown(network.source)} is not calibrated, as its run has not ended")
    say = Speaker(network.network, network.input, calibration, device_of(how.device))

    workers = how.workers if how.workers is not None else cores()
    top = min(how.top, len(network.classes))
    count, started = Count(), time.perf_counter()
    with _files(out, network.classes, top, console) as (write, list_it):

        def skip(one: Skipped) -> None:
            count.skip(one)
            list_it(one)

        batches = read.batches(which, say.input, skip, size=how.batch_size, workers=workers)
        for batch in progress.counted(console, batches, lambda batch: len(batch.names)):
            probabilities = say(batch.pixels)
            abstained = calibration.abstains(probabilities.max(1))
            write(answers(probabilities, batch.names, top, abstained))
            count.predicted += len(batch.names)
            count.abstained += int(abstained.sum())
        if not count.predicted:
            raise RegraftError(_why_none(count, images))
    if count.skipped and out:
        several = f"{count.skipped:,} images" if count.skipped > 1 else "1 image"
        left_out = shown(files.skipped_beside(out))
        _say(console, f"warning: {several} cannot be read and left out: {left_out}")
    if kinds := worded(count.left_out):
        _say(console, f"warning: left out, as no image that can be read here: {kinds}")
    _say(console, _summary(count, time.perf_counter() - started, calibration, out))


@contextmanager
def _files(
    out: Path | None, classes: Sequence[str], top: int, console: Console
) -> Iterator[tuple[Write, Callable[[Skipped], None]]]:
    """What writes answers, and what lists an image that was left out."""
    if out is not None:
        with (
            listing(files.skipped_beside(out)) as skip,
            whole(out) as unfinished,
            format_of(out)(unfinished, classes, top) as write,
        ):
            yield write, skip
        return
    with files.standard_output() as stream:
        write = csv_lines(stream, classes, top)
        yield write, lambda one: _say(console, f"skipped: {one.name}: {one.reason}")


class Speaker:
    """Says how probable each class is: uint8 (B, 3, H, W) to calibrated float (B, num_classes)."""

    def __init__(
        self, network: nn.Module, input: InputConfig, calibration: Calibration, device: torch.device
    ) -> None:
        self.network, self.input, self.device = network.to(device), input, device
        self.calibration = calibration

    @torch.inference_mode()
    def __call__(self, pixels: torch.Tensor) -> np.ndarray:
        logits = self.network(self.input.normalize(pixels.to(self.device, non_blocking=True)))
        shares = self.calibration.apply(logits.float().cpu().numpy())
        if not np.isfinite(shares).all():
            raise RegraftError("what the network says is no number (NaN): its training diverged")
        return shares


def device_of(name: str) -> torch.device:
    """The device of this name, or the accelerator if there is one; RegraftError if it is not."""
    if name == "auto":
        found = torch.accelerator.current_accelerator(check_available=True)
        return found or torch.device("cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device).cpu()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = printable(str(error).splitlines()[0])
        raise RegraftError(f"--device={name}: {reason}; leave it out or use cpu") from error
    return device


def _refuse(out: Path | None, images: Sequence[str]) -> None:
    """Raises RegraftError, before any work, for a file that cannot be written or must not be."""
    if out is None:
        return
    format_of(out)
    if not out.parent.is_dir():
        raise RegraftError(f"--out={out}: there is no folder {shown(out.parent)}; make it first")
    if out.is_dir():
        raise RegraftError(f"--out={out} is a folder; give a file")
    if out.name == predictions.NAME and (out.parent / "result.json").exists():
        raise RegraftError(f"--out={out} is what the run said of its own images; give another file")
    if _is_read(out, images):
        raise RegraftError(f"--out={out} is what images are read from; give another file")
    # It would be replaced, or deleted where every image can be read.
    if _is_read(beside := files.skipped_beside(out), images):
        raise RegraftError(
            f"--out={out}: {shown(beside)}, which would list what cannot be read, is what images "
            "are read from; give another file"
        )


def _is_read(path: Path, images: Sequence[str]) -> bool:
    """Whether the file is one of those that are named."""
    for name in images:
        with suppress(OSError):  # what is not there is told when it is looked for
            if path.samefile(Path(name).expanduser()):
                return True
    return False


def _why_none(count: Count, images: Sequence[str]) -> str:
    """Why not a single image was predicted."""
    if count.first is None:
        named = ", ".join(map(asked.text, images[:3])) + (", …" if images[3:] else "")
        folders = (Path(name).expanduser() for name in images)
        names = (path.name for folder in folders for path in folder.rglob("*") if path.is_file())
        instead = litter(names)
        return printable(f"{named}: no images there" + (f", but {instead}" if instead else ""))
    if count.left_out.total() == count.skipped:
        return printable(f"no image can be read: {worded(count.left_out)}")
    several = f"none of {count.skipped:,} images" if count.skipped > 1 else "the image"
    cannot = "can be read" if count.skipped > 1 else "cannot be read"
    return printable(f"{several} {cannot}: {count.first.name}: {count.first.reason}")


def _summary(count: Count, took: float, calibration: Calibration, out: Path | None) -> str:
    images = f"{count.predicted:,} image{'s' * (count.predicted > 1)}"
    below = calibration.threshold
    sure = f"below {below:.3g}" if below is not None else "no threshold is set"
    bad = f", {count.skipped:,} could not be read" if count.skipped else ""
    where = f": {shown(out)}" if out else ""
    rate = f"{count.predicted / took:,.0f}/s"
    return f"{images} in {took:.1f} s ({rate}), {count.abstained:,} abstained ({sure}){bad}{where}"


def _say(console: Console, line: str) -> None:
    console.print(Text(printable(line)), soft_wrap=True)
