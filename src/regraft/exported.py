"""What `regraft export` wrote, read back: a folder with weights and regraft.json, and nothing else.

None of its files can run code: an ONNX graph and safetensors are data, and of torch.export's file,
which `torch.export.load` unpickles, only the tensors are read.
"""

import json
import math
import zipfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from regraft.calibration import Calibration
from regraft.card import sha256_of
from regraft.data.transforms import InputConfig
from regraft.errors import RegraftError
from regraft.model import Network, Trained, assemble, fill
from regraft.paths import shown

CARD = "regraft.json"
IMAGES, LOGITS = "images", "logits"  # what the graph calls its input and its output
_WEIGHTS = "data/weights/"  # in the archive of torch.export, below a folder of any name


def is_one(path: Path) -> bool:
    """Whether the path is an exported folder."""
    try:
        return (path / CARD).is_file()
    except OSError:  # a name that is too long, say
        return False


def load(folder: Path) -> Trained:
    """The network of an exported folder; no other file is read.

    Raises RegraftError where a file is missing, damaged or not what was written.
    """
    card = read(folder)
    try:
        input = InputConfig(**_immutable(card["input"]))
        calibration = Calibration(**card["calibration"])
        file, classes = folder / _plain(card["file"]), tuple(map(str, card["classes"]))
        reader = READERS[card["format"]]
        for name, sha256 in card["sha256"].items():
            _verify(folder / _plain(name), sha256)
        network = reader(file, card)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise RegraftError(f"{shown(folder / CARD)} is damaged; export the run again") from error
    return Trained(network, input, classes, calibration, file, card)


def _immutable(values: dict[str, Any]) -> dict[str, Any]:
    """The same with tuples for the lists that JSON has."""
    return {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}


def read(folder: Path) -> dict[str, Any]:
    """What regraft.json says."""
    try:
        card = json.loads((folder / CARD).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RegraftError(f"{shown(folder / CARD)} is damaged; export the run again") from error
    if not isinstance(card, dict) or str(card.get("format")) not in READERS:
        known = ", ".join(READERS)
        raise RegraftError(f"{shown(folder / CARD)}: its format is none of {known}")
    return card


def _plain(name: str) -> str:
    """The name of a file in the folder itself; ValueError for a way out of it."""
    if Path(name).name != name:
        raise ValueError(name)
    return name


def _verify(path: Path, sha256: str) -> None:
    try:
        found = sha256_of(path)
    except OSError as error:
        raise RegraftError(f"{shown(path)} is missing; export the run again") from error
    if found != sha256:
        raise RegraftError(
            f"{shown(path)} is not what {CARD} says (its SHA-256 is another one): it is damaged or "
            "was replaced; export the run again"
        )


class Session(nn.Module):
    """An ONNX graph in ONNX Runtime: images float32 (B, 3, H, W) to logits (B, num_classes)."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        require("onnxruntime", what="a folder exported to onnx")
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 3  # errors
        wanted = ("CUDAExecutionProvider", "CPUExecutionProvider")
        there = [name for name in wanted if name in onnxruntime.get_available_providers()]
        try:
            self.session = onnxruntime.InferenceSession(str(path), options, providers=there)
        except Exception as error:  # of its own kinds
            raise RegraftError(
                f"{shown(path)}: this ONNX Runtime ({onnxruntime.__version__}) cannot read it; "
                "use one that is at least as new as the one that regraft.json names"
            ) from error

    def forward(self, images: Tensor) -> Tensor:
        [logits] = self.session.run([LOGITS], {IMAGES: images.contiguous().cpu().numpy()})
        return torch.from_numpy(logits).to(images.device)


def require(*packages: str, what: str) -> None:
    """Raises RegraftError naming the extra if one of the packages is not installed."""
    if absent := [name for name in packages if find_spec(name) is None]:
        raise RegraftError(f"{what} needs {', '.join(absent)}: pip install 'regraft[onnx]'")


def _of_onnx(path: Path, card: dict[str, Any]) -> nn.Module:
    network = Session(path)
    [logits] = network.session.get_outputs()
    if logits.shape[1:] != [len(card["classes"])]:
        raise ValueError("more or fewer logits than classes")
    return network


def _of_safetensors(path: Path, card: dict[str, Any]) -> Network:
    state = _tensors(path)
    network = assemble(card["config"], card["classes"])
    fill(network, state, path)
    return network


def _of_timm(path: Path, card: dict[str, Any]) -> Network:
    """timm's own network is our trunk and, beside it, the layer of a linear head."""
    state = _tensors(path)
    network = assemble(card["config"], card["classes"])
    own = network.state_dict()
    [layer] = {name.rpartition(".")[0] for name in own if name.startswith("head.")}
    ours = {name: f"backbone.net.{name}" for name in state}
    ours |= {n: f"{layer}.{n.rpartition('.')[2]}" for n in state if ours[n] not in own}
    fill(network, {ours[name]: tensor for name, tensor in state.items()}, path)
    return network


def _tensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise RegraftError(f"{shown(path)} is damaged ({error}); export the run again") from error


def _of_torch_export(path: Path, card: dict[str, Any]) -> Network:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            listing = next(n for n in names if n.endswith(f"{_WEIGHTS}model_weights_config.json"))
            told = json.loads(archive.read(listing))["config"]
            network = assemble(card["config"], card["classes"])
            own, folder = network.state_dict(), listing.rpartition("/")[0]
            state = {
                name: _tensor(archive.read(f"{folder}/{about['path_name']}"), about, own[name])
                for name, about in told.items()
            }
    except (
        zipfile.BadZipFile,
        StopIteration,
        OSError,
        LookupError,
        TypeError,
        ValueError,
    ) as error:
        raise RegraftError(
            f"{shown(path)}: its tensors cannot be read without running it; export the run again, "
            "with torch 2.9 or newer"
        ) from error
    fill(network, state, path)
    return network


def _tensor(content: bytes, about: dict[str, Any], like: Tensor) -> Tensor:
    """A tensor of torch.export's archive, of the type of the network's own; ValueError for one
    that is stored as a pickle, or whose bytes are too few."""
    meta = about["tensor_meta"]
    if about["use_pickle"]:
        raise ValueError("a pickle")
    size, stride = ([n["as_int"] for n in meta[key]] for key in ("sizes", "strides"))
    if not math.prod(size):
        return torch.empty(size, dtype=like.dtype)
    flat = torch.frombuffer(bytearray(content), dtype=like.dtype)
    try:
        return flat.as_strided(size, stride, meta["storage_offset"]["as_int"])
    except RuntimeError as error:
        raise ValueError(str(error)) from error


READERS: dict[str, Callable[[Path, dict[str, Any]], nn.Module]] = {
    "onnx": _of_onnx,
    "torch_export": _of_torch_export,
    "timm": _of_timm,
    "safetensors": _of_safetensors,
}
