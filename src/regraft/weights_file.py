"""A file of tensors, known by its first bytes whatever it is called; none of its code is run."""

import argparse
import json
import pickle
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from regraft.errors import RegraftError

PRETRAINED = "backbone.weights=pretrained"
DEEPEST = 4  # how far down dicts are looked into for tensors

# What people take for weights: first bytes, what they are, and what to do about it.
OTHERS = (
    (b"\x1f\x8b", "compressed with gzip", "unpack it first (gunzip, or tar -xzf)"),
    (b"BZh", "compressed with bzip2", "unpack it first (bunzip2, or tar -xjf)"),
    (b"\xfd7zXZ\0", "compressed with xz", "unpack it first (unxz, or tar -xJf)"),
    (b"\x28\xb5\x2f\xfd", "compressed with Zstandard", "unpack it first (unzstd)"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", "unpack it first"),
    (b"Rar!", "a RAR archive", "unpack it first"),
    (b"\x89HDF", "HDF5, as Keras writes it", "give weights of PyTorch"),
    (b"GGUF", "GGUF, as llama.cpp reads it", "give weights of PyTorch"),
    (b"\x93NUMPY", "one array of NumPy", "give weights of PyTorch"),
    (
        b"version https://git-lfs",
        "a pointer of Git LFS, which stands for a file that was not fetched",
        "run `git lfs pull` in its repository, or download the file itself",
    ),
)
TEXTS = (
    (rb"(?i)\s*(<!doctype html|<html)", "a page of HTML: a server's answer in place of the file"),
    (rb"\s*<\?xml", "XML: a server's answer in place of the file"),
    (rb"\s*[{\[]\s*(\"|[{\]}])", "JSON"),
)
WANTED = "give a safetensors file, a .pth file or a checkpoint"


def read(path: Path, where: str) -> tuple[dict[str, dict[str, Tensor]], dict[str, Any]]:
    """The state dicts in a safetensors file or a torch checkpoint by where they lie in it, as
    `model.teacher` ("" is the file itself), and in a checkpoint of ours the input of its training.

    Raises RegraftError for a file of something else, which it names.
    """
    with path.open("rb") as file:
        head = file.read(512)
    if _is_safetensors(head):
        try:
            return {"": load_file(path)}, {}
        except (SafetensorError, OSError, ValueError) as error:
            raise damaged(path, where, str(error)) from error
    if head[:4] == b"PK\3\4":
        _refuse_other_zip(path, where)
    elif head[:1] != b"\x80":  # what pickles begin with, and so torch's files before version 1.6
        raise _something_else(path, where, head)
    content = _unpickled(path, where)
    ours = content.get("regraft") if isinstance(content, dict) else None
    seen = ours.get("input") if isinstance(ours, dict) else None
    states = dict(_states(content))
    if not states:
        raise RegraftError(
            f"{where}: {path} holds no state dict, tensors by their names; save model.state_dict()"
        )
    return states, seen if isinstance(seen, dict) else {}


def damaged(path: Path, where: str, why: str) -> RegraftError:
    """The error about a file that is not what it should be; one of the hub can be fetched anew."""
    cached = path.resolve() if path.is_symlink() else path
    why = " ".join(why.split())
    if where == PRETRAINED:
        return RegraftError(
            f"{where}: {cached} is damaged ({why}); remove it, and the next run fetches it again"
        )
    return RegraftError(f"{where}: {cached} is damaged or no file of tensors ({why}); {WANTED}")


def _is_safetensors(head: bytes) -> bool:
    """Whether it begins with the length of a header, and the header with a brace."""
    return head[8:9] == b"{" and 0 < int.from_bytes(head[:8], "little") < 2**32


def _states(content: Any, path: str = "", depth: int = DEEPEST) -> Iterator[tuple[str, Any]]:
    """Every dict with tensors by names, by its keys from the outermost."""
    if not isinstance(content, dict):
        return
    named = {k: v for k, v in content.items() if isinstance(k, str)}
    if tensors := {name: value for name, value in named.items() if isinstance(value, Tensor)}:
        yield path, tensors
    if depth:
        for name, value in named.items():
            yield from _states(value, f"{path}.{name}" if path else name, depth - 1)


def _unpickled(path: Path, where: str) -> Any:
    try:
        # As harmless as a dict, and in every checkpoint of timm's training script.
        # By the open file, since of a path PyTorch believes the suffix.
        with torch.serialization.safe_globals([argparse.Namespace]), path.open("rb") as file:
            return torch.load(file, map_location="cpu", weights_only=True)
    except (EOFError, RuntimeError, ValueError, OSError) as error:
        raise damaged(path, where, str(error)) from error
    except Exception as error:  # pickle.UnpicklingError, or what a broken pickle leads to
        if isinstance(error, pickle.UnpicklingError) and (found := _objects(path, error)):
            raise RegraftError(
                f"{where}: {path} holds objects ({found}), which could run code when they are "
                f"read; if you trust it, torch.load({str(path)!r}, weights_only=False) and "
                "torch.save its tensors alone: model.state_dict(), or of a checkpoint "
                "['state_dict']"
            ) from error
        raise damaged(path, where, "it cannot be read to its end") from error


def _objects(path: Path, error: Exception) -> str:
    """Which classes a checkpoint wants that are none of tensors; empty if it is no checkpoint."""
    try:
        with path.open("rb") as file:
            found = sorted(torch.serialization.get_unsafe_globals_in_checkpoint(file))
    except Exception:  # the format before torch 1.6, or something else
        found = re.findall(r"Unsupported global: GLOBAL (\S+)", str(error))
    return some([name for name in found if name != "argparse.Namespace"])


def _refuse_other_zip(path: Path, where: str) -> None:
    """Raises RegraftError for a zip archive that torch.save has not written."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError) as error:  # its list of files is at the end
        raise damaged(path, where, f"an archive that was cut off: {error}") from error
    inside = {name.partition("/")[2] for name in names}
    if "constants.pkl" in inside:
        raise _wrong(path, where, "a program of TorchScript", "torch.save its state_dict() alone")
    if "data.pkl" not in inside:
        arrays = all(name.endswith(".npy") for name in names)
        what = "arrays of NumPy, as JAX programs keep them" if arrays else "a zip archive"
        fix = "give weights of PyTorch" if arrays else "unpack it first"
        raise _wrong(path, where, f"{what} ({some(names)})", fix)


def _something_else(path: Path, where: str, head: bytes) -> RegraftError:
    """The error about a file that holds no tensors of PyTorch, with what it is."""
    if not head:
        return _wrong(path, where, "empty", "download or copy it again")
    for magic, what, fix in OTHERS:
        if head.startswith(magic):
            return _wrong(path, where, what, fix)
    if head[257:262] == b"ustar":
        return _wrong(path, where, "a tar archive", "unpack it first (tar -xf)")
    for pattern, what in TEXTS:
        if re.match(pattern, head):
            more = _shards(path) if what == "JSON" else ""
            return _wrong(path, where, what + more, "download the file itself")
    text = head[:40].decode("ascii", errors="replace")
    what = f"text, {text!r} …" if text.isprintable() else f"it begins with {head[:8].hex(' ')}"
    return damaged(path, where, what)


def _shards(path: Path) -> str:
    """Whether it is the index of weights that lie in several files, and in which."""
    try:
        files = sorted(set(json.loads(path.read_text(encoding="utf-8"))["weight_map"].values()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return ""
    return f", the index of weights in {len(files)} files ({some(files)})"


def _wrong(path: Path, where: str, what: str, fix: str) -> RegraftError:
    if where == PRETRAINED:
        return damaged(path, where, what)
    return RegraftError(f"{where}: {path} holds no weights: it is {what}; {fix}")


def some(names: list[str]) -> str:
    """The first three names and how many more."""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return "; ".join(names[:3]) + more
