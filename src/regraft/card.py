"""A weights file and the card beside it: what it was made of, and how.

`trunk.safetensors` has `trunk.json`. The card holds the file's sha256, so that it is known to be
of this file.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import save
from torch import Tensor

from regraft.paths import whole, write_whole

# What is read of a card beside any weights, which may be somebody else's file of that name.
TYPES = {"sha256": str, "method": str, "license": str | None, "input": dict | None}


def beside(weights: Path) -> Path:
    """Where the card of a weights file lies."""
    return weights.with_suffix(".json")


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read(weights: Path) -> dict[str, Any]:
    """The card of a weights file; {} if there is none, or what is there is none of ours."""
    try:
        card = json.loads(beside(weights).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    is_card = isinstance(card, dict) and all(
        isinstance(card.get(key), kind) for key, kind in TYPES.items()
    )
    return card if is_card else {}


def write(weights: Path, tensors: Mapping[str, Tensor], about: Mapping[str, Any]) -> dict[str, Any]:
    """Write tensors as safetensors and their card; `about` is plain data, the card is returned."""
    # Not its own `save_file`, whose files nobody else may read.
    write_whole(weights, save({name: t.detach().cpu().contiguous() for name, t in tensors.items()}))
    card = {**about, "sha256": sha256_of(weights)}
    text = json.dumps(card, indent=2, ensure_ascii=False, allow_nan=False)
    write_whole(beside(weights), f"{text}\n".encode())
    return card


def is_intact(weights: Path) -> bool:
    """Whether a weights file is the one that its card is of."""
    try:
        return read(weights).get("sha256") == sha256_of(weights)
    except OSError:
        return False


def copy(weights: Path, to: Path, *, share: bool) -> None:
    """Put a weights file and its card into another place; to `share` the disk's room if it can."""
    for source, target in ((weights, to), (beside(weights), beside(to))):
        with whole(target) as unfinished:
            if not (share and _linked(source, unfinished)):
                shutil.copyfile(source, unfinished)


def _linked(source: Path, target: Path) -> bool:
    try:
        os.link(source, target)
    except OSError:
        return False
    return True
