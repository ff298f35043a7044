"""The words of a command line, put into the order that Hydra's parser takes."""

import argparse
import re
from typing import NoReturn

from regraft.complaints import as_setting
from regraft.errors import RegraftError
from regraft.hydra_internals import get_args_parser
from regraft.paths import conf_folder


class _Parser(argparse.ArgumentParser):
    """Tells what is wrong instead of printing its usage and ending the program."""

    def error(self, message: str) -> NoReturn:
        raise RegraftError(f"{message}; --help shows what there is")


def overrides_first(words: list[str]) -> list[str]:
    """The words in an order that Hydra's parser takes; `-m` may stand between overrides.

    Raises RegraftError for a flag that there is not.
    """
    parser = _Parser(parents=[get_args_parser()], add_help=False)
    known, unknown = parser.parse_known_intermixed_args(words)
    if "--" in words:
        unknown = ["--"]
    if unknown:
        raise RegraftError(
            f"{unknown[0]}: no such flag; settings are key=value without dashes, -m makes a sweep, "
            f"--help shows what there is{as_setting(*_flag(unknown[0], words))}"
        )
    _refuse_contradictions(known)
    for override in known.overrides:
        _refuse_options_in_a_list(override)
    flags = list(words)
    for override in known.overrides:
        flags.remove(override)
    return [*known.overrides, *flags]


def _flag(flag: str, words: list[str]) -> tuple[str, str]:
    """A flag and its value, which may be the next word (--lr 0.1), or there is none (--amp)."""
    name, separator, value = flag.partition("=")
    after = words[words.index(flag) + 1 :] if flag in words else []
    if not separator:
        value = after[0] if after and not re.search(r"^-\D|=", after[0]) else ""
    return name, value


def _refuse_options_in_a_list(word: str) -> None:
    """Raises RegraftError for a list where an option is one word, as strategy=[a,b]."""
    found = re.fullmatch(r"([\w/]+)=\[(.*)\]", word)
    if found and (conf_folder() / found[1]).is_dir():
        raise RegraftError(
            f"{word}: an option is one word, and several values without brackets are a sweep: "
            f"-m {found[1]}={found[2].replace(' ', '')}"
        )


def _refuse_contradictions(given: argparse.Namespace) -> None:
    """Raises RegraftError for flags that Hydra would not take together, or would quietly ignore."""
    asks = [f"--{name}" for name in ("run", "multirun", "cfg", "info") if getattr(given, name)]
    if len(asks) > 1:
        raise RegraftError(f"{' and '.join(asks)} do not go together: leave one out")
    if given.resolve and not (given.cfg or given.help):
        raise RegraftError("--resolve goes with --cfg: --cfg job --resolve")
    if given.package and not given.cfg:
        raise RegraftError("--package goes with --cfg: --cfg job --package optimizer")
    if given.shell_completion and not re.search("install|uninstall|query", str(given.overrides)):
        raise RegraftError("--shell-completion wants install=bash, uninstall=bash or query=bash")
    if "hydra.callbacks.sweep=null" in given.overrides:
        raise RegraftError("hydra.callbacks.sweep=null: a sweep's report needs it; leave this out")
    if given.experimental_rerun:
        raise RegraftError("--experimental-rerun: unpickles a file, which regraft never does")
