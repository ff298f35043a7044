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
    built = [
        (name, type(one).__module__, getattr(one, "monitor", None), getattr(one, "mode", None))
        for name, one in callbacks
    ]
    for problem in _problems(built):
        raise problem


def problems(callbacks: dict[str, Any]) -> Iterator[RegraftError]:
    """The same of the settings of callbacks, before anything is built or written."""
    return _problems(
        [
            (name, str(node.get("_target_")), node.get("monitor"), node.get("mode"))
            for name, node in callbacks.items()
            if isinstance(node, dict)
        ]
    )


def _problems(callbacks: list[tuple[str, str, Any, Any]]) -> Iterator[RegraftError]:
    """Of each its key, where it comes from, its monitor and its mode."""
    others = any(not origin.startswith(OURS) for _, origin, _, _ in callbacks)
    for name, _, watched, mode in callbacks:
        if not isinstance(watched, str):
            continue
        key, right = f"callbacks.{name}", LOGGED.get(watched)
        if right is None and not others:
            hint = did_you_mean(watched, LOGGED)
            there = ", ".join(LOGGED)
            yield RegraftError(f"{key}.monitor={watched}: no such metric; there are {there}{hint}")
        elif right and mode in ("min", "max") and mode != right:
            yield RegraftError(
                f"{key}.monitor={watched} with mode={mode} would choose the worst epoch; add "
                f"{key}.mode={right}"
            )


def at_training_end(watched: Any) -> bool:
    """Whether it is known at the end of an epoch's training only, after its validation."""
    return isinstance(watched, str) and watched.startswith("train/")
