"""What a config may build: things of the kind that is asked for, from modules that are trusted."""

import inspect
import os
import types
import typing
from collections.abc import Iterator
from functools import cache
from typing import Any

from hydra.utils import get_object

from regraft.errors import RegraftError

TRUSTED = ("regraft.", "torch.", "torchvision.", "timm.", "pytorch_lightning.", "torchmetrics.")
TRUST = "REGRAFT_TRUST"  # what the user trusts besides; a preset must not be able to trust itself
# What each key holds, as a class or a function that says that it returns one. By name: whoever
# only asks for help waits for no torch.
KINDS: dict[str, tuple[str, ...]] = {
    "data": ("regraft.data.sources.Source",),
    "augment": ("regraft.data.augment.Augment", "builtins.None"),
    "balance": ("regraft.data.balance.Balance",),
    "backbone": ("regraft.backbone.Backbone",),
    "freeze": ("regraft.plan.Plan",),
    "head": ("regraft.head.Head",),
    "features": ("regraft.features.Caching",),
    "optimizer": ("torch.optim.Optimizer",),
    "scheduler": ("torch.optim.lr_scheduler.LRScheduler",),
    "trainer": ("pytorch_lightning.Trainer",),
    "calibration": ("regraft.calibration.Wanted",),
    "figures": ("regraft.figures.fonts.Figures",),
    "loader": ("regraft.data.images.Images",),
    "logger": ("pytorch_lightning.loggers.Logger", "builtins.None"),
    "callbacks.": ("pytorch_lightning.Callback",),  # each of them
    "strategy": ("regraft.plan.Strategy", "regraft.collect.Collect"),
    "pretrain": ("regraft.pretrain.method.Method",),
}

# What a package that the user trusts may hold besides, as a class: a head of plain layers.
OWN = {"head": ("torch.nn.Module",)}


def from_words(words: list[str]) -> list[str]:
    """The words of a command line without `--trust=<package>`, which goes to the environment.

    So that it holds for the processes that a launcher starts; no file can say it.
    """
    add([word.partition("=")[2] for word in words if word.startswith("--trust=")])
    return [word for word in words if not word.startswith("--trust=")]


def add(packages: list[str]) -> None:
    """Trust these, too, in this process and those that it starts; from here on it stays so."""
    if packages:
        os.environ[TRUST] = ",".join([os.environ.get(TRUST, ""), *packages])
    users()


@cache
def users() -> tuple[str, ...]:
    """Prefixes of the modules that the user trusts, as the environment has them at the start."""
    names = (name.strip() for name in os.environ.get(TRUST, "").split(","))
    return tuple(f"{name}." for name in names if name)


def load(key: str, target: Any) -> Any:
    """The class or function that a `_target_` names, if its own module is trusted.

    The name alone proves nothing: `regraft.tracking.Path.touch` is pathlib's.
    """
    trusted, package = (*TRUSTED, *users()), str(target).partition(".")[0]
    refusal = RegraftError(
        f"{key}._target_={target}: not from a trusted module; if you trust it, add "
        f"--trust={package} to the command or set the environment variable {TRUST}={package}",
        key=f"{key}._target_",
    )
    if not isinstance(target, str) or not target.startswith(trusted):
        raise refusal
    if any(part.startswith("_") for part in target.split(".")):
        raise RegraftError(
            f"{key}._target_={target}: what begins with _ is not built from a config",
            key=f"{key}._target_",
        )
    try:
        found = get_object(target)
    except Exception as error:
        where = f"{key}._target_"
        raise RegraftError(f"{where}={target}: no such class or function", key=where) from error
    if not f"{getattr(found, '__module__', None)}.".startswith(trusted):
        raise refusal
    return found


def check(config: dict[str, Any]) -> None:
    """Check that every `_target_` of a resolved config makes what its key is for.

    Raises RegraftError naming the key, the target and what belongs there.
    """
    for key, node in config.items():
        if f"{key}." in KINDS and isinstance(node, dict) and "_target_" not in node:
            for name, inner in node.items():
                _check(f"{key}.{name}", inner, _classes(KINDS[f"{key}."]))
        else:
            _check(key, node, _classes(KINDS.get(key, ())), _classes(OWN.get(key, ())))


def check_parts(key: str, node: dict[str, Any]) -> Any:
    """Check one node's words and the parts in it, and return what its `_target_` names."""
    found = load(key, node["_target_"])
    if odd := [name for name in map(str, node) if name.startswith("_") and name != "_target_"]:
        where = f"{key}.{odd[0]}"
        raise RegraftError(f"{where}: only _target_ is read here; leave {odd[0]} out", key=where)
    annotations = hints(found)
    for name, inner in node.items():
        _check(f"{key}.{name}", inner, tuple(_classes_in(annotations.get(name))))
    return found


def hints(function: Any) -> dict[str, Any]:
    """The annotations of a function's or a class's parameters; {} where they cannot be read."""
    target = function.__init__ if inspect.isclass(function) else function
    try:
        return typing.get_type_hints(target, include_extras=True)
    except (NameError, TypeError):  # other people's forward references
        return {}


def _check(key: str, node: Any, kinds: tuple[type, ...], own: tuple[type, ...] = ()) -> None:
    if isinstance(node, dict) and "_target_" in node:
        target = node["_target_"]
        found = load(key, target)
        if not kinds:
            raise RegraftError(
                f"{key}._target_={target}: nothing is built here; give a plain value",
                key=f"{key}._target_",
            )
        if not _makes(found, kinds) and not (_is_users(found) and issubclass(found, own)):
            raise RegraftError(
                f"{key}._target_={target}: makes no {_named(kinds)}; name a class of that kind or "
                "a function of a package of yours that is annotated to return one",
                key=f"{key}._target_",
            )
        check_parts(key, node)
    elif isinstance(node, dict | list):
        children = node.items() if isinstance(node, dict) else enumerate(node)
        for name, inner in children:
            _check(f"{key}.{name}", inner, () if key in KINDS else kinds)


def _makes(found: Any, kinds: tuple[type, ...]) -> bool:
    """Whether calling it gives one of these: a class, or a module's own function that says so.

    Of other people's packages only classes: their functions are made for programs, and some load
    code. A method has a dotted name and is refused: it may do anything to what it belongs to.
    """
    if inspect.isclass(found):
        return issubclass(found, kinds)
    ours = f"{getattr(found, '__module__', None)}.".startswith((TRUSTED[0], *users()))
    if not ours or not inspect.isfunction(found) or "." in found.__qualname__:
        return False
    returned = hints(found).get("return")
    made = [returned] if inspect.isclass(returned) else [*typing.get_args(returned)]
    return bool(made) and all(inspect.isclass(one) and issubclass(one, kinds) for one in made)


def _is_users(found: Any) -> bool:
    """Whether it is a class of a package that the user trusts, and that is none of the known."""
    return inspect.isclass(found) and f"{found.__module__}.".startswith(users())


def _classes(names: tuple[str, ...]) -> tuple[type, ...]:
    return tuple(types.NoneType if n == "builtins.None" else get_object(n) for n in names)


def _classes_in(annotation: Any) -> Iterator[type]:
    """The classes of trusted modules that an annotation names at any depth: what is a part."""
    trusted = f"{getattr(annotation, '__module__', None)}.".startswith((*TRUSTED, *users()))
    if inspect.isclass(annotation) and trusted and not getattr(annotation, "_is_protocol", False):
        yield annotation
    for inner in typing.get_args(annotation):
        yield from _classes_in(inner)


def _named(kinds: tuple[type, ...]) -> str:
    return " or ".join(kind.__name__ for kind in kinds if kind is not types.NoneType)
