"""What is logged of each epoch, which way of it is better, and who may watch it."""

from collections.abc import Iterable, Iterator
from typing import Any, Literal

from regraft.errors import RegraftError, did_you_mean

Mode = Literal["min", "max"]
Validated = Literal["val/loss", "val/acc", "val/macro_f1", "val/balanced_acc"]
LOGGED: dict[str, Mode] = {
    "train/loss": "min",
    "train/acc": "max",
    "val/loss": "min",
    "val/acc": "max",
    "val/macro_f1": "max",
    "val/balanced_acc": "max",
}
OURS = ("regraft.", "pytorch_lightning.")  # callbacks that log no metric of their own


def refuse(callbacks: Iterable[tuple[str, Any]]) -> None:
    """Raises RegraftError for a callback, by its key, that would watch what is not there, or keep
    the worst of it.

    A callback has a `monitor` and a `mode`, or none; another library's may log what it watches.
    """
    named = [*callbacks]
    others = any(not type(one).__module__.startswith(OURS) for _, one in named)
    for name, one in named:
        watched, mode = getattr(one, "monitor", None), getattr(one, "mode", None)
        if isinstance(watched, str) and (watched in LOGGED or not others):
            _refuse(f"callbacks.{name}", watched, mode)


def problems(callbacks: dict[str, Any]) -> Iterator[RegraftError]:
    """The same of the settings of callbacks, before anything is built or written."""
    nodes = {name: node for name, node in callbacks.items() if isinstance(node, dict)}
    others = any(not str(node.get("_target_")).startswith(OURS) for node in nodes.values())
    for name, node in nodes.items():
        watched = node.get("monitor")
        if isinstance(watched, str) and (watched in LOGGED or not others):
            try:
                _refuse(f"callbacks.{name}", watched, node.get("mode"))
            except RegraftError as error:
                yield error


def _refuse(key: str, watched: str, mode: Any) -> None:
    right = LOGGED.get(watched)
    if right is None:
        hint = did_you_mean(watched, LOGGED)
        there = ", ".join(LOGGED)
        raise RegraftError(f"{key}.monitor={watched}: no such metric; there are {there}{hint}")
    if mode in ("min", "max") and mode != right:
        raise RegraftError(
            f"{key}.monitor={watched} with mode={mode} would choose the worst epoch; add "
            f"{key}.mode={right}"
        )


def at_training_end(watched: Any) -> bool:
    """Whether it is known at the end of an epoch's training only, after its validation."""
    return isinstance(watched, str) and watched.startswith("train/")
