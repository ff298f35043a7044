"""The words of a command line, put into the order that Hydra's parser takes."""

import argparse
from typing import NoReturn

from hydra._internal.utils import get_args_parser

from regraft.errors import RegraftError


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
    if unknown:
        raise RegraftError(
            f"{unknown[0]}: no such flag; settings are key=value without dashes, -m makes a sweep, "
            "--help shows what there is"
        )
    flags = list(words)
    for override in known.overrides:
        flags.remove(override)
    return [*known.overrides, *flags]
