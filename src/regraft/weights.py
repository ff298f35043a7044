"""Where pretrained tensors come from: inside this package, a file or folder, or the hub."""

import importlib
import inspect
import json
import logging
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from regraft import card, hub, weights_file
from regraft.errors import RegraftError, did_you_mean
from regraft.weights_file import PRETRAINED

log = logging.getLogger(__name__)

States = dict[str, dict[str, Tensor]]  # by where they lie in a file
MADE = "pretrained.safetensors"  # in a run's folder: what `pretrain=` made before the training
PERMISSIVE = ("apache", "bsd", "mit", "isc", "cc0", "cc-by-4.0", "unlicense")

# What a folder is meant for: as the hub and timm leave it, or one of our runs.
PUBLISHED = ("model.safetensors", "pytorch_model.bin")
TRAINED = ("checkpoints/best.ckpt", "best.ckpt")
OTHERS = ("*.safetensors", "*.bin", "*.pt", "*.pth", "*.ckpt", "*/*.ckpt", "*/checkpoints/*.ckpt")

# Where training scripts put the state dict; timm's, like its own loader, with the average first.
KEYS = ("state_dict_ema", "model_ema", "state_dict", "model", "model_state_dict")

# What timm's files call the function that renames tensors: of its authors, or of torchvision.
FILTERS = ("checkpoint_filter_fn", "_filter_fn", "_filter_torchvision_pretrained")

COUNTER = ".num_batches_tracked"  # of a BatchNorm

# What is put on a trunk for a task, beside what timm calls the classifier of a network.
HEADS = (
    *("head.", "heads.", "head_dist.", "fc.", "classifier.", "last_linear.", "AuxLogits."),
    *("decoder", "projector.", "predictor."),
)


class OtherShapesError(RegraftError):
    """Weights that have all of a network's tensors, some of them in other shapes."""


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
    name: str,
    weights: str,
    net: nn.Module,
    *,
    key: str | None = None,
    spare: Iterable[Collection[str]] = (),
) -> Weights:
    """Read the `weights` of model `name`: "pretrained", or the path of a file or folder.

    `key` says which network of several in a file; `spare` are groups of tensors that may be missing
    as a whole: stages that are made anew.
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
    states, sha256, seen = _read(path, where, (stat.st_ino, stat.st_size, stat.st_mtime_ns))
    state = _fit(_chosen(states, net, key, where), net, config, where, spare)
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


def label(name: str, asked: str, loaded: Weights | None) -> str:
    """A network by the weights it has, as timm writes it; `asked` is `backbone.weights`.

    resnet18.a1_in1k with those that timm names, resnet18.random without any, resnet18.simclr by
    the method of their card, resnet18.<name> of a file, and of a run resnet18.<its folder>.
    """
    if loaded is not None and asked == "pretrained":
        return name
    return f"{name.partition('.')[0]}.{'random' if loaded is None else _origin(loaded)}"


def _origin(loaded: Weights) -> str:
    """What made the weights, or in one word where they lie."""
    nothing = {"checkpoints", *(Path(file).stem for file in (*PUBLISHED, *TRAINED))}
    parts = [part for part in Path(loaded.source).with_suffix("").parts if part not in nothing]
    job = parts[-1].isdecimal()  # of a sweep
    return loaded.method or "/".join(parts[-2 if job else -1 :])


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
    if re.match(r"\w+://", where.partition("=")[2]):
        raise RegraftError(f"{where}: is not fetched from there; download it and give its path")
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
def _read(path: Path, where: str, state: object) -> tuple[States, str, dict[str, Any]]:
    """The state dicts of a file, its SHA-256, and what it says of the input of its training.

    It is not read again as long as the file is in the same `state`.
    """
    sha256 = card.sha256_of(path)
    promised = path.resolve().name  # the hub's cache calls large files by what they should hold
    if re.fullmatch("[0-9a-f]{64}", promised) and promised != sha256:
        raise weights_file.damaged(path, where, "its content is not what the hub has")
    states, seen = weights_file.read(path, where)
    return states, sha256, seen


def _chosen(states: States, net: nn.Module, key: str | None, where: str) -> dict[str, Tensor]:
    """The state dict that is meant: what lies under the `key`, or the one that can be meant.

    Of several that have as much of the network, it is that which timm's own loader takes. Raises
    RegraftError if there are several and none of them is known.
    """
    if key is not None:
        return _under(states, key, where)
    # Without torch's counters, which a file may lack.
    wanted = [name for name in net.state_dict() if not name.endswith(COUNTER)]
    # Of foreign names, which no network knows, the largest.
    fits = {path: _prefix(state, wanted)[1] for path, state in states.items()}
    fits = fits if any(fits.values()) else {path: len(state) for path, state in states.items()}
    likely = [path for path, count in fits.items() if 2 * count > max(fits.values())]
    known = [path for path in KEYS if path in likely]
    if not known and len(likely) > 1:
        raise _several(likely, where)
    path = (known or likely)[0]
    _, count, others = _prefix(states[path], wanted)
    if others and count == len(wanted):
        raise _several([f"{path}.{name}".strip(".") for name in others], where)
    return dict(states[path])


def _under(states: States, key: str, where: str) -> dict[str, Tensor]:
    """The tensors whose names begin with the key, without it."""
    named = {
        f"{path}.{name}".lstrip("."): tensor
        for path, state in states.items()
        for name, tensor in state.items()
    }
    found = {n.removeprefix(f"{key}."): t for n, t in named.items() if n.startswith(f"{key}.")}
    if not found:
        there = sorted({name.rpartition(".")[0].partition(".")[0] for name in named} - {""})
        raise RegraftError(
            f"backbone.weights_key={key}: {where} has nothing there{did_you_mean(key, there)} "
            f"(there are {_some(there)})"
        )
    return found


def _several(paths: Sequence[str], where: str) -> RegraftError:
    names = _some([path or "(the file itself)" for path in paths])
    return RegraftError(
        f"{where}: holds the network several times, as {names}; say which with "
        f"backbone.weights_key={next(filter(None, paths))}"
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
    state, dropped = _unwrap(state, wanted)
    absent = {n for stage in spare if state.keys().isdisjoint(stage) for n in stage}
    # torch fills in the counters, too, which files from before its version 0.4.1 lack.
    needed = [n for n in wanted if not (n in absent or n.endswith(COUNTER))]
    if any(n not in state or state[n].shape != wanted[n].shape for n in needed):
        state = _convert(state, net)
    bad = [f"{name} missing" for name in sorted({*needed} - state.keys())]
    kind = RegraftError if bad else OtherShapesError
    for name in sorted(wanted.keys() & state.keys()):
        if state[name].shape != wanted[name].shape:
            bad.append(f"{name} is {[*state[name].shape]}, not {[*wanted[name].shape]}")
    if bad:
        raise kind(
            f"{where}: does not fit the backbone: {_some(bad, where)}"
            f"{_other_names(state, needed)}; "
            "name weights of this network, or backbone.weights=random"
        )
    found = ((name, _odd(state[name], wanted[name])) for name in wanted if name in state)
    if odd := [f"{name} is {how}" for name, how in found if how]:
        raise RegraftError(
            f"{where}: tensors that cannot be copied: {_some(odd, where)}; save the weights whole, "
            "dense and as floating point numbers"
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


def _odd(tensor: Tensor, wanted: Tensor) -> str | None:
    """Why a tensor does not hold the wanted one's values: torch would fail, or read other ones."""
    if tensor.is_meta and not wanted.is_meta:
        return "without values"
    if tensor.layout is not torch.strided:
        return "sparse"
    if wanted.is_floating_point() and not tensor.is_floating_point():
        return str(tensor.dtype).removeprefix("torch.")
    return None


def _prefix(
    state: Mapping[str, Tensor], wanted: Collection[str]
) -> tuple[str, int, tuple[str, ...]]:
    """What stands before the network's names in a file, as `module.`, how many of them it has with
    it, and all that stands before as many, without the dots."""
    fits = Counter(
        name[:start]
        for name in state
        for start in (0, *(dot.end() for dot in re.finditer(r"\.", name)))
        if name[start:] in wanted
    )
    prefix, count = max(fits.items(), key=lambda found: found[1], default=("", 0))
    alike = tuple(before.rstrip(".") for before in fits if fits[before] == count)
    return prefix, count, alike if len(alike) > 1 else ()


def _unwrap(
    state: dict[str, Tensor], wanted: Collection[str]
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The trunk's tensors without the name of what it was part of, and what lay beside them."""
    prefix, count, _ = _prefix(state, wanted)
    inside = {name[len(prefix) :]: t for name, t in state.items() if name.startswith(prefix)}
    if count * 2 < len(inside):  # a few like names by chance, as those of other libraries have
        return state, {}
    return inside, {name: t for name, t in state.items() if not name.startswith(prefix)}


def _other_names(state: Collection[str], needed: Collection[str]) -> str:
    """What a file calls its tensors and what the network does, where the names are others."""
    theirs = [name for name in state if name not in needed]
    ours = [name for name in needed if name not in state]
    if 2 * len(ours) < len(needed) or not theirs:
        return ""
    return (
        f"; its tensors have names as {' and '.join(theirs[:2])}, "
        f"and those of the network as {' and '.join(ours[:2])}"
    )


def _convert(state: dict[str, Tensor], net: nn.Module) -> dict[str, Tensor]:
    """Older or foreign names of the same tensors, as timm's own loader would rename them."""
    module = importlib.import_module(type(net).__module__)
    found = (getattr(module, name, None) for name in FILTERS)
    convert = next(filter(None, found), None)
    if convert is None:
        return state
    takes_net = len(inspect.signature(convert).parameters) > 1
    try:
        return convert(dict(state), net) if takes_net else convert(dict(state))
    except Exception:  # whatever it meets in tensors of another network
        return state


def _some(names: list[str], where: str = "") -> str:
    """The first three names and how many more; all of them in the run's log."""
    if len(names) <= 3 or not where:
        return weights_file.some(names)
    log.info("%s: all %d: %s", where, len(names), "; ".join(names))
    return f"{weights_file.some(names)} (train.log lists all)"
