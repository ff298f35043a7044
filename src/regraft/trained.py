"""A trained network with all that is needed to use it: from a run's checkpoint alone, offline."""

import zipfile
from pathlib import Path
from typing import Any

import torch

from regraft import exported
from regraft.calibration import Calibration
from regraft.data.transforms import InputConfig
from regraft.earlier import result_of
from regraft.errors import RegraftError, did_you_mean
from regraft.model import PARTS, Trained, assemble, fill
from regraft.paths import shown

BEST = "checkpoints/best.ckpt"


def load(path: Path) -> Trained:
    """The network of a run's folder, of a checkpoint or of an exported folder.

    Raises RegraftError where there is none, it is damaged, or what it consists of is not trusted.
    """
    if exported.is_one(path):
        return exported.load(path)
    return from_checkpoint(checkpoint_of(path))


def checkpoint_of(path: Path) -> Path:
    """The best checkpoint of a run, or the file itself."""
    try:
        path.stat()
    except FileNotFoundError:
        pass
    except OSError as error:  # a name that is too long, say
        raise RegraftError(f"{shown(path)[:80]}: {error.strerror}") from error
    if path.is_file():
        return path
    if not path.is_dir():
        hint = did_you_mean(path.name, _beside(path))
        raise RegraftError(f"{shown(path)}: no such run, exported folder or checkpoint{hint}")
    if (path / BEST).is_file():
        return path / BEST
    names = (found.parents[1].name for found in path.glob(f"*/{BEST}"))
    if jobs := sorted(int(name) for name in names if name.isdecimal()):
        raise RegraftError(
            f"{shown(path)} is a sweep: name one of its jobs, such as {shown(path / str(jobs[0]))}"
        )
    result = result_of(path)
    if (status := result.get("status")) is None:
        raise RegraftError(f"{shown(path)}: no run and no exported folder")
    if result.get("trial"):
        raise RegraftError(
            f"{shown(path)}: this run was a trial (trainer.fast_dev_run), which keeps no weights; "
            "train it without that"
        )
    raise RegraftError(
        f"{shown(path)}: this run ({status}) has kept no checkpoint ({BEST}); train it again with "
        "callbacks.checkpoint, as it is by default"
    )


def from_checkpoint(path: Path) -> Trained:
    """The network of one of our checkpoints; nothing but this file is read."""
    checkpoint = read(path)
    card, state = checkpoint["regraft"], checkpoint["state_dict"]
    try:
        classes = tuple(map(str, card["classes"]))
        network = assemble(card["config"], classes)
        calibration = Calibration(**card["calibration"]) if card.get("calibration") else None
        # Not the backbone's: another version of timm may have other numbers.
        seen = InputConfig(**card["input"]) if card.get("input") else network.backbone.input
    except (TypeError, ValueError, AttributeError) as error:
        raise RegraftError(f"{shown(path)} is damaged, or no checkpoint") from error
    if kept := sorted(network.state_dict().keys() - state.keys()):
        raise RegraftError(
            f"{shown(path)} lacks {len(kept)} tensors, {kept[0]} for one: a checkpoint is complete "
            f"when its run has ended; let it: regraft resume {shown(path.parent.parent)}"
        )
    fill(network, state, path)
    return Trained(network, seen, classes, calibration or UNCALIBRATED, path, card)


# Of a checkpoint that training has not finished with.
UNCALIBRATED = Calibration(1.0)


def read(path: Path) -> dict[str, Any]:
    """What is in a checkpoint of ours: tensors and plain data; never runs its code.

    Raises RegraftError for anything else, and for one of a run that has not ended, which lacks the
    stages that were kept.
    """
    try:
        _refuse_other_bytes(path)
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise RegraftError(f"{shown(path)}: no such checkpoint") from error
    except Exception as error:  # torch raises many kinds of them
        raise RegraftError(f"{shown(path)} is damaged, or no checkpoint") from error
    card = checkpoint.get("regraft") if isinstance(checkpoint, dict) else None
    card = card if isinstance(card, dict) else {}
    config = card.get("config")
    whole = isinstance(config, dict) and {*PARTS} <= config.keys()
    if not whole or not card.get("classes"):
        raise RegraftError(f"{shown(path)}: no checkpoint of a run of regraft")
    if not any(name.startswith("head.") for name in checkpoint.get("state_dict", ())):
        raise RegraftError(f"{shown(path)}: holds no head, so it predicts nothing")
    return checkpoint


def _refuse_other_bytes(path: Path) -> None:
    """Raises ValueError if a tensor is not what was written: torch.load compares no checksums."""
    with zipfile.ZipFile(path) as archive:
        if name := archive.testzip():
            raise ValueError(name)


def _beside(path: Path) -> list[str]:
    return [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
