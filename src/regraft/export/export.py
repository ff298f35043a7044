"""`regraft export`: one trained network as a folder, there whole and checked or not at all."""

import json
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console
from safetensors import SafetensorError

from regraft import __version__, exported, faults, threshold, trained
from regraft.card import sha256_of
from regraft.earlier import result_of
from regraft.errors import RegraftError
from regraft.export import card, formats, parity
from regraft.export.formats import Format
from regraft.export.parity import Parity
from regraft.jobs import metrics_of
from regraft.model import PARTS, Network, Trained
from regraft.paths import shown, whole_folder, write_whole

OS_ERROR = re.compile(r"\(os error (\d+)\)")  # how a library in Rust says what the system said
BY = "--out <folder>"  # how another folder is chosen


@dataclass(frozen=True)
class Exported:
    """What was written where, and what the check has found."""

    folder: Path
    told: dict[str, Any]  # what regraft.json says
    parity: Parity


def export(run: Path, to: str, out: Path, precision: float | None = None) -> Exported:
    """Write the network of a run or checkpoint in the format `to` as a folder `out`.

    With a `precision`, the threshold is that of it on the validation images. Raises RegraftError
    for what the user can put right, and if what was written says something else than the
    checkpoint; then there is no folder.
    """
    format = formats.find(to)
    refuse_what_is_there(out)
    if exported.is_one(run):
        raise RegraftError(
            f"{shown(run)} is an exported folder: name the run that it was exported from"
        )
    model = trained.load(run)
    network = model.network
    assert isinstance(network, Network)
    result = result_for(model.source)
    if precision is not None:
        model = replace(model, calibration=threshold.chosen(model, precision=precision))
        result["calibration"] = threshold.effect(model)
    with making(out) as folder:
        with exporting(to, out):
            format.write(model, network, folder)
        files = {path.name: sha256_of(path) for path in sorted(folder.iterdir())}
        told = {"regraft": __version__, "format": to, "file": format.file, "sha256": files}
        told |= describe(model, result)
        write(folder, told)
        with exporting(to, out):
            found_equal = check(model, format, folder)
        told["checked"] = {
            "by": format.reader,
            "images": found_equal.images,
            "batches": list(parity.BATCHES),
            "largest_difference": found_equal.difference,
            "largest_logit": found_equal.logit,
        }
        write(folder, told)
        write_whole(folder / "README.md", card.text(told, out.resolve().name).encode())
    return Exported(out, told, found_equal)


def refuse_what_is_there(out: Path) -> None:
    """Raises RegraftError unless a folder of this name can be made."""
    try:
        there = out.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise faults.of_output(error, out, BY) from error
    if not (stat.S_ISDIR(there.st_mode) or out.is_dir()):
        raise RegraftError(f"--out {out}: a file is where a folder should be")
    if any(out.iterdir()) or out.resolve() == Path.cwd():
        raise RegraftError(f"--out {out}: the folder is there already; name one that is not")


@contextmanager
def making(out: Path) -> Iterator[Path]:
    """The folder while it is filled; a disk that takes no more is one line."""
    try:
        with whole_folder(out.absolute()) as folder:
            yield folder
    except OSError as error:
        raise faults.of_output(error, out, BY) from error


@contextmanager
def exporting(to: str, out: Path) -> Iterator[None]:
    """What an exporter, or a library that reads what it wrote, trips over is one line."""
    try:
        yield
    except (OSError, RegraftError):
        raise
    except Exception as error:  # they raise many kinds
        if isinstance(error, SafetensorError) and (found := OS_ERROR.search(str(error))):
            raise OSError(int(found[1]), os.strerror(int(found[1])), str(out)) from error
        if words := faults.in_words(error):
            raise RegraftError(words) from error
        other = "another format" if to == "safetensors" else "--to safetensors"
        raise RegraftError(
            f"--to {to}: this network cannot be exported so ({type(error).__name__}: "
            f"{faults.first_sentence(str(error))[:200]}); use {other}"
        ) from error


def check(model: Trained, format: Format, folder: Path) -> Parity:
    """Read what was written as others will and as `regraft predict` will, and compare.

    Raises RegraftError if it is another function than the checkpoint's network.
    """
    doors = [trained.load(folder).network]
    found = parity.measure(
        model.network,
        parity.photographs(model.input),
        [*doors, format.open(folder)] if format.open else doors,
    )
    if not found.holds:
        raise RegraftError(
            f"what was exported is not what was trained: read by {format.reader}, logits differ by "
            f"{found.difference:.2g} where {parity.TOLERANCE * max(1.0, found.logit):.2g} is "
            "allowed, so nothing was written; use another format"
        )
    return found


def describe(model: Trained, result: dict[str, Any]) -> dict[str, Any]:
    """What regraft.json says of the network and of the `result` of its run, {} if that is lost."""
    config = model.card["config"]
    source = dict(config["backbone"])
    parts = {key: config[key] for key in PARTS} | {"backbone": {**source, "weights": "random"}}
    weights = result.get("weights")
    if weights and source.get("weights") != "pretrained":  # a path is nobody else's business
        weights = {**weights, "source": Path(weights["source"]).name}
    data = result.get("data") or {}
    return {
        "images": ["batch", 3, *model.input.size],
        "logits": ["batch", len(model.classes)],
        "classes": list(model.classes),
        "input": asdict(model.input),
        "calibration": asdict(model.calibration),
        "config": parts,
        "backbone": result.get("backbone") or source.get("name"),
        "weights": weights,
        "choices": {
            key: name
            for key, name in (result.get("choices") or {}).items()
            if key in ("strategy", "freeze", "head", "data", "quadrant")
        },
        "data": {key: data.get(key) for key in ("name", "train", "val", "test")},
        "seed": result.get("seed"),
        "metrics": metrics_of(result),
        "kept": {split: (result.get("calibration") or {}).get(split) for split in ("val", "test")},
        "versions": result.get("versions") or {},
    }


def result_for(checkpoint: Path) -> dict[str, Any]:
    """The result of the run whose judged weights these are; {} for any other checkpoint."""
    folder = checkpoint.absolute().parent.parent
    result = result_of(folder)
    judged = result.get("checkpoint")
    return result if judged and (folder / judged).resolve() == checkpoint.resolve() else {}


def write(folder: Path, told: dict[str, Any]) -> None:
    """Write regraft.json."""
    text = json.dumps(told, indent=2, ensure_ascii=False, allow_nan=False)
    write_whole(folder / exported.CARD, f"{text}\n".encode())


def show(done: Exported, console: Console) -> None:
    """Say what was written."""
    for path in sorted(done.folder.iterdir(), key=lambda path: -path.stat().st_size):
        size = path.stat().st_size / 1e6
        line = f"{shown(path)}  {size:.2f} MB" if size > 0.1 else shown(path)
        console.out(line, highlight=False)
    checked = done.told["checked"]
    console.out(
        f"checked with {checked['by']}: logits of {checked['images']} photographs, in batches of "
        f"{', '.join(map(str, parity.BATCHES))}, differ from the checkpoint's by at most "
        f"{done.parity.difference:.1g} (the largest is {done.parity.logit:.3g})",
        highlight=False,
    )
