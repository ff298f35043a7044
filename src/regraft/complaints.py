"""Any exception as the one line that a person reads, with the nearest right word."""

import re
from collections.abc import Iterator
from pathlib import Path

from hydra.errors import (
    ConfigCompositionException,
    HydraException,
    MissingConfigException,
    OverrideParseException,
)
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from regraft import faults
from regraft.errors import RegraftError, did_you_mean
from regraft.escaping import printable
from regraft.masking import in_text
from regraft.paths import conf_folder


def explain(error: BaseException | None) -> str:
    """What is wrong, where, and what to do, in one line."""
    error = told_by_a_resolver(error) or error
    text = str(error)
    if isinstance(error, RegraftError):
        pass
    elif isinstance(error, KeyboardInterrupt):
        text = "interrupted"
    elif isinstance(error, MissingConfigException) and error.options is not None:
        text = _unknown_option(error)
    elif isinstance(error, OverrideParseException):
        text = (
            f"{error.override}: not of the form key=value (no space at '=', no comma at the end)"
            "; a value with spaces, commas or ~ wants quotes of its own: \"key='a, b'\""
        )
    elif isinstance(error, ConfigCompositionException):
        text = _unknown_key(error)
    elif error is not None and (of_machine := faults.in_words(error)):
        text = of_machine
    elif "Config group override must be a string" in text:
        text = "null is no option of a group; to switch one off choose none, as in augment=none"
    elif not isinstance(error, HydraException):
        text = f"{type(error).__name__}: {text}; debug=on shows where"
    return printable(in_text(text))


def told_by_a_resolver(error: BaseException | None) -> RegraftError | None:
    """What a resolver has to say, which OmegaConf puts into an error of its own."""
    while isinstance(error, OmegaConfBaseException):
        error = error.__cause__ or error.__context__
    return error if isinstance(error, RegraftError) else None


def _unknown_option(error: MissingConfigException) -> str:
    group, _, option = str(error.missing_cfg_file).rpartition("/")
    options = sorted(error.options or ())
    hint = did_you_mean(option, options)
    there = f"there are {', '.join(options)}"
    return f"{group or 'config'}={option}: no such option{hint} ({there})"


def _unknown_key(error: ConfigCompositionException) -> str:
    text, cause = str(error), str(error.__cause__ or "")
    if several := re.search(r"Ambiguous value for argument '([^']+)'", text + cause):
        return f"{several.group(1)}: several values make a sweep: add -m to the command"
    found = re.search(r"Could not override '([^']+)'", text)
    if not found:
        asked = text.removeprefix("Error merging override ")
        return f"{asked}: {cause.splitlines()[0]}" if cause else text
    key = found.group(1)
    if "No match in the defaults list" in text or "not in struct" in cause + text:
        return f"{key}: no such key{_nearest(key)}"
    return f"{key}: {cause.splitlines()[0] if cause else text}"


def _nearest(key: str) -> str:
    """The key that is spelt alike, has the same last word, or belongs to another option."""
    owners: dict[str, list[str]] = {}
    for path in sorted(conf_folder().rglob("*.yaml")):
        for known in _keys_in(path):
            owners.setdefault(known, []).append(f"{path.parent.name}={path.stem}")
    if key in owners:
        return f" in what is chosen; it belongs to {' or '.join(owners[key])}"
    if hint := did_you_mean(key, owners):
        return hint
    last = key.rpartition(".")[2]
    same = [known for known in owners if known.rpartition(".")[2] == last]
    return f"; did you mean '{same[0]}'?" if same else ""


def _keys_in(path: Path) -> Iterator[str]:
    """The dotted keys that one option's file sets, and its group."""
    group = path.parent.relative_to(conf_folder()).as_posix()
    text = path.read_text(encoding="utf-8")
    node = OmegaConf.create(text)
    if group.startswith("hydra") or not isinstance(node, DictConfig):
        return
    at_top = group == "." or text.startswith("# @package _global_")
    if group != ".":
        yield group
    yield from (name for name in _paths(node, "" if at_top else f"{group}."))


def _paths(node: DictConfig, prefix: str) -> Iterator[str]:
    for key in map(str, node):
        if key not in ("defaults", "hydra"):
            yield f"{prefix}{key}"
            child = node._get_node(key)
            if isinstance(child, DictConfig) and not child._is_none():
                yield from _paths(child, f"{prefix}{key}.")
