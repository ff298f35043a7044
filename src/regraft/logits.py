"""logits.safetensors: what a run's network gave for its validation and test images, as it gave it.

Beside predictions.csv, whose probabilities are calibrated: another temperature, or a threshold for
another precision, is found from here. Images are in the order of predictions.csv.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from regraft.errors import RegraftError
from regraft.paths import shown, whole

NAME = "logits.safetensors"
SPLITS = ("val", "test")
Split = tuple[np.ndarray, np.ndarray]  # logits float32 (N, num_classes) and labels int64 (N,)


@dataclass(frozen=True, eq=False)
class Logits:
    """Of each split that was judged, and the run and the classes that they are of."""

    run: str | None
    classes: tuple[str, ...]
    splits: dict[str, Split]


def write(path: Path, run: str, classes: Sequence[str], splits: Mapping[str, Split]) -> None:
    """Write them, whole or not at all."""
    tensors = {}
    for split, (logits, labels) in splits.items():
        tensors[f"{split}.logits"] = np.ascontiguousarray(logits, dtype=np.float32)
        tensors[f"{split}.labels"] = np.ascontiguousarray(labels, dtype=np.int64)
    with whole(path) as unfinished:
        save_file(tensors, unfinished, {"run": run, "classes": json.dumps(list(classes))})


def read(path: Path) -> Logits:
    """What `write` wrote. Raises RegraftError for a file that is damaged."""
    try:
        with safe_open(path, framework="numpy") as file:
            about = file.metadata() or {}
            classes = tuple(map(str, json.loads(about["classes"])))
            there = set(file.keys())
            found = {
                split: (file.get_tensor(f"{split}.logits"), file.get_tensor(f"{split}.labels"))
                for split in SPLITS
                if f"{split}.labels" in there
            }
    except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
        raise RegraftError(f"{shown(path)} is damaged: {error}") from error
    return Logits(about.get("run"), classes, found)
