"""Where pretrained tensors come from: inside this package, a file or folder, or the hub."""

import argparse
import importlib
import json
import logging
import pickle
import re
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from regraft import card, hub
from regraft.errors import RegraftError, did_you_mean

log = logging.getLogger(__name__)

PRETRAINED = "backbone.weights=pretrained"
MADE = "pretrained.safetensors"  # in a run's folder: what `pretrain=` made before the training
PERMISSIVE = ("apache", "bsd", "mit", "isc", "cc0", "cc-by-4.0", "unlicense")

# What a folder is meant for: as the hub and timm leave it, or one of our runs.
PUBLISHED = ("model.safetensors", "pytorch_model.bin")
TRAINED = ("checkpoints/best.ckpt", "best.ckpt")
OTHERS = ("*.safetensors", "*.bin", "*.pt", "*.pth", "*.ckpt", "*/*.ckpt", "*/checkpoints/*.ckpt")

# Where training scripts put the state dict; timm's, like its own loader, with the average first.
KEYS = ("state_dict_ema", "model_ema", "state_dict", "model", "model_state_dict")

# What is put on a trunk for a task, beside what timm calls the classifier of a network.
HEADS = (
    *("head.", "heads.", "head_dist.", "fc.", "classifier.", "last_linear.", "AuxLogits."),
    *("decoder", "projector.", "predictor."),
)


@dataclass(frozen=True)
class Weights:
    """Tensors by their name in the network, and where they came from."""

    source: str
    sha256: str
    license: str | None
    tensors: dict[str, Tensor] = field(repr=False)
    input: dict[str, Any] = field(default_factory=dict)  # what they saw, where the file says it
    method: str | None = None  # how they were made, where a card says it


def load(
    name: str, weights: str, net: nn.Module, *, spare: Iterable[Collection[str]] = ()
) -> Weights:
    """Read the `weights` of model `name`: "pretrained", or the path of a file or folder.

    `spare` are groups of tensors that may be missing as a whole: stages that are made anew.
    Raises RegraftError when the weights cannot be had or do not fit `net`, saying where.
    """
    config: dict[str, Any] = dict(getattr(net, "pretrained_cfg", {}))
    where = f"backbone.weights={weights}"
    if weights == "pretrained":
        embedded = config.get("file")
        path = Path(embedded) if embedded else hub.fetch(*published(name, config))
        source, licence, beside = config.get("hf_hub_id") or path.name, config.get("license"), {}
    else:
        path = _find(Path(weights).expanduser(), where)
        beside = _config_beside(path)
        source, licence = str(path), beside.get("license")
    stat = path.stat()
    read, sha256, seen = _read(path, where, (stat.st_ino, stat.st_size, stat.st_mtime_ns))
    state = _fit(dict(read), net, config, where, spare)
    known = _card(path, sha256, where)
    if weights != "pretrained":  # of which timm's own word counts
        licence = licence or known.get("license")
    _warn_of(str(source), licence)
    seen = seen or known.get("input") or beside
    return Weights(str(source), sha256, licence, state, seen, known.get("method"))


@cache  # once for a sweep's jobs
def _warn_of(source: str, licence: str | None) -> None:
    if licence and not licence.lower().startswith(PERMISSIVE):
        log.warning("%s has the licence %s: read it before you publish or sell", source, licence)


def published(name: str, config: dict[str, Any]) -> tuple[str, tuple[str, ...]]:
    """The hub's repository with the weights of model `name`, and what their file may be called.

    Raises RegraftError for a model whose weights are not on the hub.
    """
    if repository := config.get("hf_hub_id"):
        return repository, (config.get("hf_hub_filename") or PUBLISHED[0], PUBLISHED[1])
    if url := config.get("url"):
        raise RegraftError(
            f"{PRETRAINED}: those of {name} are not on the hub; download {url} "
            "yourself and give backbone.weights=<file>"
        )
    raise RegraftError(
        f"{PRETRAINED}: timm publishes no weights for {name}; "
        "name a tag that has them, a file's path, or backbone.weights=random"
    )


def _find(path: Path, where: str) -> Path:
    """The file that a path means: itself, or one in the folder."""
    if where.endswith("="):
        raise RegraftError(f"{where} is empty; use pretrained, random, or a file's path")
    if path.is_file():
        return path
    if not path.is_dir():
        raise RegraftError(
            f"{where}: no such file or folder{_nearest(path)}; "
            "use pretrained, random, or the path of a file or folder"
        )
    kinds = [[file for file in kind if (path / file).is_file()] for kind in (PUBLISHED, TRAINED)]
    if all(kinds):
        raise RegraftError(
            f"{where}: the folder holds {kinds[0][0]} and {kinds[1][0]}; name the file you mean"
        )
    if found := kinds[0] or kinds[1]:
        return path / found[0]
    there = sorted({str(f.relative_to(path)) for pattern in OTHERS for f in path.glob(pattern)})
    raise RegraftError(
        f"{where}: the folder holds no {', '.join(PUBLISHED)} or {TRAINED[0]}; "
        + (f"name one of {_some(there)}" if there else "there are no weights in it")
    )


def _nearest(path: Path) -> str:
    """A hint at the first part of the path that is not there."""
    gone = next(part for part in (*reversed(path.parents), path) if not part.exists())
    try:
        beside = [entry.name for entry in gone.parent.iterdir()]
    except OSError:
        beside = []
    words = ["pretrained", "random"] if path.parts == (path.name,) else []
    return did_you_mean(gone.name, [*words, *beside])


def _config_beside(path: Path) -> dict[str, Any]:
    """What the model's config.json in the same folder says, as timm writes it."""
    try:
        config = json.loads((path.parent / "config.json").read_text(encoding="utf-8"))
        return dict(config["pretrained_cfg"])
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _card(path: Path, sha256: str, where: str) -> dict[str, Any]:
    """What the card beside a file says, if there is one; RegraftError for that of another file."""
    known = card.read(path)
    if known and known["sha256"] != sha256:
        raise RegraftError(
            f"{where}: {card.beside(path)} is the card of another file, or {path.name} is damaged; "
            "remove the card, or make both again"
        )
    return known


@lru_cache(maxsize=1)
def _read(path: Path, where: str, state: object) -> tuple[dict[str, Tensor], str, dict[str, Any]]:
    """Tensors of a safetensors file or a torch checkpoint, its SHA-256, and in a checkpoint of ours
    the input that it was trained on; never runs its code.

    It is not read again as long as the file is in the same `state`.
    """
    sha256 = card.sha256_of(path)
    promised = path.resolve().name  # the hub's cache calls large files by what they should hold
    if re.fullmatch("[0-9a-f]{64}", promised) and promised != sha256:
        raise _damaged(path, where, "its content is not what the hub has")
    try:
        if path.suffix == ".safetensors":
            return load_file(path), sha256, {}
        # As harmless as a dict, and in every checkpoint of timm's training script.
        with torch.serialization.safe_globals([argparse.Namespace]):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, EOFError, RuntimeError, ValueError, OSError) as error:
        raise _damaged(path, where, str(error)) from error
    except Exception as error:  # pickle.UnpicklingError, or what a broken pickle leads to
        if isinstance(error, pickle.UnpicklingError) and (found := _objects(path, error)):
            raise RegraftError(
                f"{where}: {path} holds objects ({found}), which could run code when they are "
                f"read; if you trust it, torch.load({str(path)!r}, weights_only=False) and "
                "torch.save its tensors alone: model.state_dict(), or of a checkpoint "
                "['state_dict']"
            ) from error
        raise _damaged(path, where, "no file of tensors") from error
    ours = content.get("regraft") if isinstance(content, dict) else None
    seen = ours.get("input") if isinstance(ours, dict) else None
    for key in KEYS:
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    if not isinstance(content, dict) or not all(isinstance(v, Tensor) for v in content.values()):
        raise RegraftError(
            f"{where}: {path} holds no state dict, tensors by their names; save model.state_dict()"
        )
    return content, sha256, seen if isinstance(seen, dict) else {}


def _objects(path: Path, error: Exception) -> str:
    """Which classes a checkpoint wants that are none of tensors; empty if it is no checkpoint."""
    try:
        found = sorted(torch.serialization.get_unsafe_globals_in_checkpoint(path))
    except Exception:  # the format before torch 1.6, or something else
        found = re.findall(r"Unsupported global: GLOBAL (\S+)", str(error))
    return _some([name for name in found if name != "argparse.Namespace"])


def _damaged(path: Path, where: str, why: str) -> RegraftError:
    cached = path.resolve() if path.is_symlink() else path
    why = " ".join(why.split())
    if where == PRETRAINED:
        return RegraftError(
            f"{where}: {cached} is damaged ({why}); remove it, and the next run fetches it again"
        )
    return RegraftError(
        f"{where}: {cached} is damaged or no file of tensors ({why}); give a safetensors file, a "
        ".pth file or a checkpoint"
    )


def _fit(
    state: dict[str, Tensor],
    net: nn.Module,
    config: dict[str, Any],
    where: str,
    spare: Iterable[Collection[str]],
) -> dict[str, Tensor]:
    """Match tensors to the trunk by name and shape; heads are left out, all else is an error."""
    wanted = net.state_dict()
    state, dropped = _unwrap(state, wanted, where)
    absent = {n for stage in spare if state.keys().isdisjoint(stage) for n in stage}
    # torch fills in the counters, too, which files from before its version 0.4.1 lack.
    needed = {n for n in wanted.keys() - absent if not n.endswith(".num_batches_tracked")}
    if any(n not in state or state[n].shape != wanted[n].shape for n in needed):
        state = _convert(state, net)
    bad = [f"{name} missing" for name in sorted(needed - state.keys())]
    for name in sorted(wanted.keys() & state.keys()):
        if state[name].shape != wanted[name].shape:
            bad.append(f"{name} is {[*state[name].shape]}, not {[*wanted[name].shape]}")
    if bad:
        raise RegraftError(
            f"{where}: does not fit the backbone: {_some(bad, where)}; "
            "name weights of this network, or backbone.weights=random"
        )
    classifier = config.get("classifier") or ()
    names = (classifier,) if isinstance(classifier, str) else tuple(classifier)
    heads = (*(f"{name}." for name in names), *HEADS)
    surplus = {n for n in state.keys() - wanted.keys() if not n.startswith(heads)}
    # What timm's loader leaves out as well, such as masks, is no sign of another network; nor is
    # anything in the file that timm names for this one.
    if where != PRETRAINED and (refused := sorted(surplus & _convert(state, net).keys())):
        raise RegraftError(
            f"{where}: {len(refused)} tensors have no place in the backbone: "
            f"{_some(refused, where)}; name weights of this network, or save the file without them"
        )
    dropped |= {name: state[name] for name in state.keys() - wanted.keys()}
    if dropped:
        said = ", ".join(f"{name} {[*tensor.shape]}" for name, tensor in sorted(dropped.items()))
        log.info("%s: left out, as no part of the trunk: %s", where, said)
    return {name: state[name] for name in wanted if name in state}


def _unwrap(
    state: dict[str, Tensor], wanted: Collection[str], where: str
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The trunk's tensors without the name of what it was part of, and what lay beside them."""
    fits = Counter(
        name[:start]
        for name in state
        for start in (0, *(dot.end() for dot in re.finditer(r"\.", name)))
        if name[start:] in wanted
    )
    prefix, count = max(fits.items(), key=lambda found: found[1], default=("", 0))
    if others := [p for p in fits if p != prefix and fits[p] == count == len(wanted)]:
        raise RegraftError(
            f"{where}: holds the network several times, as {_some([prefix, *others])}; save one "
            "of them alone"
        )
    inside = {name[len(prefix) :]: t for name, t in state.items() if name.startswith(prefix)}
    if count * 2 < len(inside):  # a few like names by chance, as those of other libraries have
        return state, {}
    return inside, {name: t for name, t in state.items() if not name.startswith(prefix)}


def _convert(state: dict[str, Tensor], net: nn.Module) -> dict[str, Tensor]:
    """Older or foreign names of the same tensors, as timm's own loader would rename them."""
    convert = getattr(importlib.import_module(type(net).__module__), "checkpoint_filter_fn", None)
    try:
        return state if convert is None else convert(dict(state), net)
    except Exception:  # whatever it meets in tensors of another network
        return state


def _some(names: list[str], where: str = "") -> str:
    """The first three names and how many more; all of them in the run's log."""
    if len(names) > 3 and where:
        log.info("%s: all %d: %s", where, len(names), "; ".join(names))
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return "; ".join(names[:3]) + more + (" (train.log lists all)" if more and where else "")
