"""Where pretrained tensors come from: inside this package, a file, or the hub through timm."""

import hashlib
import importlib
import logging
from dataclasses import dataclass, field
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import constants, hf_hub_download
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from regraft.errors import RegraftError
from regraft.network import answers

log = logging.getLogger(__name__)

# timm and the hub's client would retry for about 47 s before they say that there is no network.
REACH_S = 2.5

PERMISSIVE = ("apache", "bsd", "mit", "isc", "cc0", "cc-by-4.0", "unlicense")

# Wrappers under which a trunk is found in checkpoints: ours, Lightning's, DDP's.
PREFIXES = ("backbone.net.", "net.", "model.", "module.", "backbone.")


@dataclass(frozen=True)
class Weights:
    """Tensors by their name in the network, and where they came from."""

    source: str
    sha256: str
    license: str | None
    tensors: dict[str, Tensor] = field(repr=False)


def load(name: str, weights: str, net: nn.Module) -> Weights:
    """Read the `weights` of model `name`: "pretrained", or the path of a file.

    Raises RegraftError when they cannot be had or do not fit `net`, listing what is missing.
    """
    config: dict[str, Any] = dict(getattr(net, "pretrained_cfg", {}))
    if weights == "pretrained":
        path = Path(config["file"]) if config.get("file") else _from_hub(name, config)
        source, licence = config.get("hf_hub_id") or path.name, config.get("license")
    else:
        path, source, licence = Path(weights).expanduser(), weights, None
    if not path.is_file():
        raise RegraftError(
            f"backbone.weights={weights}: no such file; use pretrained, random or a file's path"
        )
    stat = path.stat()
    read, sha256 = _read(path, weights, (stat.st_ino, stat.st_size, stat.st_mtime_ns))
    state = _fit(dict(read), net, config, f"backbone.weights={weights}")
    _warn_of(str(source), licence)
    return Weights(source=str(source), sha256=sha256, license=licence, tensors=state)


@cache  # once for a sweep's jobs
def _warn_of(source: str, licence: str | None) -> None:
    if licence and not licence.lower().startswith(PERMISSIVE):
        log.warning("%s has the licence %s: read it before you publish or sell", source, licence)


@lru_cache(maxsize=1)
def _read(path: Path, weights: str, state: object) -> tuple[dict[str, Tensor], str]:
    """Tensors of a safetensors file or a torch checkpoint, and its SHA-256; never runs its code.

    It is not read again as long as the file is in the same `state`.
    """
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    try:
        if path.suffix == ".safetensors":
            return load_file(path), sha256
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, EOFError, RuntimeError, ValueError, OSError) as error:
        raise RegraftError(f"backbone.weights={weights}: {path} is damaged: {error}") from error
    except Exception as error:  # pickle.UnpicklingError and what weights_only refuses
        raise RegraftError(
            f"backbone.weights={weights}: {path} is no file of tensors, or holds more, which could "
            "run code; save the state dict alone"
        ) from error
    for key in ("state_dict", "model", "model_state_dict"):
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    if not isinstance(content, dict) or not all(isinstance(v, Tensor) for v in content.values()):
        raise RegraftError(f"backbone.weights={weights}: {path} holds no state dict")
    return content, sha256


def _fit(
    state: dict[str, Tensor], net: nn.Module, config: dict[str, Any], where: str
) -> dict[str, Tensor]:
    """Match tensors to the trunk by name and shape; a classifier is dropped, a gap is an error."""
    wanted = net.state_dict()
    state = _strip(state, wanted)
    fits = wanted.keys() <= state.keys()
    if not fits or any(wanted[name].shape != state[name].shape for name in wanted):
        state = _convert(state, net)
    missing = sorted(wanted.keys() - state.keys())
    wrong = sorted(n for n in wanted.keys() & state.keys() if wanted[n].shape != state[n].shape)
    if missing or wrong:
        bad = [f"{name} missing" for name in missing]
        bad += [f"{n} is {[*state[n].shape]}, not {[*wanted[n].shape]}" for n in wrong]
        more = f" and {len(bad) - 3} more" if len(bad) > 3 else ""
        raise RegraftError(
            f"{where}: does not fit the backbone: {'; '.join(bad[:3])}{more}; "
            "name weights of this network, or backbone.weights=random"
        )
    classifier = config.get("classifier") or ()
    heads = (classifier,) if isinstance(classifier, str) else tuple(classifier)
    dropped = sorted(state.keys() - wanted.keys())
    if surplus := [name for name in dropped if not name.startswith((*heads, "head."))]:
        log.warning("%s: %d tensors have no place: %s", where, len(surplus), ", ".join(surplus[:3]))
    return {name: state[name] for name in wanted}


def _strip(state: dict[str, Tensor], wanted: dict[str, Tensor]) -> dict[str, Tensor]:
    """Take the wrapper's name off, whichever makes the most names fit."""
    candidates = [state] + [
        {name[len(prefix) :]: t for name, t in state.items() if name.startswith(prefix)}
        for prefix in PREFIXES
    ]
    return max(candidates, key=lambda names: len(names.keys() & wanted.keys()))


def _convert(state: dict[str, Tensor], net: nn.Module) -> dict[str, Tensor]:
    """Older or foreign names of the same tensors, as timm's own loader would rename them."""
    convert = getattr(importlib.import_module(type(net).__module__), "checkpoint_filter_fn", None)
    return state if convert is None else convert(state, net)


def _from_hub(name: str, config: dict[str, Any]) -> Path:
    repository = config.get("hf_hub_id")
    if not repository:
        raise RegraftError(
            f"backbone.weights=pretrained: timm publishes no weights for {name}; "
            "name a tag that has them, a file's path, or backbone.weights=random"
        )
    for offline in (True, False):
        if not offline and not _hub_is_reachable():
            break
        for file in (config.get("hf_hub_filename") or "model.safetensors", "pytorch_model.bin"):
            try:
                return Path(hf_hub_download(repository, file, local_files_only=offline))
            except LocalEntryNotFoundError:
                continue
            except HfHubHTTPError as error:
                if error.response.status_code != 404:
                    raise RegraftError(f"{repository}: the hub answered: {error}") from error
            except Exception as error:  # the hub client passes on its HTTP library's errors
                raise RegraftError(f"{repository}: the download failed: {error}") from error
    raise RegraftError(
        f"backbone.weights=pretrained: {repository} is neither on this machine nor reachable; "
        "connect once (or set HF_HOME to a filled cache, HF_ENDPOINT to a mirror), "
        "or backbone.weights=<file>, or backbone.weights=random (backbone=fractal_resnet needs no "
        "network)"
    )


def _hub_is_reachable() -> bool:
    """Whether the hub's endpoint (HF_ENDPOINT) answers at all, whatever it says, in `REACH_S`."""
    if constants.HF_HUB_OFFLINE:
        return False
    return answers(constants.ENDPOINT, within=REACH_S)
