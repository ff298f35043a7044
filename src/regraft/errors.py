"""Errors that a user can cause: one line that says what is wrong, where, and what to do."""

import difflib
from collections.abc import Iterable


class RegraftError(Exception):
    """Something the user can put right. Its text is the one line that is shown.

    With the `key` of the config that is wrong, the line says also who set it.
    """

    def __init__(self, text: str, *, key: str | None = None) -> None:
        super().__init__(text)
        self.key = key


def did_you_mean(name: str, choices: Iterable[str]) -> str:
    """The end of an error about an unknown name: the nearest choice, or nothing.

    >>> did_you_mean("finetun", ["finetune", "scratch"])
    "; did you mean 'finetune'?"
    >>> did_you_mean("SGD", ["adamw", "sgd"])
    "; did you mean 'sgd'?"
    >>> did_you_mean("xyz", ["finetune", "scratch"])
    ''
    """
    alike = {choice.lower(): choice for choice in reversed([*choices])}
    near = difflib.get_close_matches(name.lower(), list(alike), n=1, cutoff=0.6)
    return f"; did you mean '{alike[near[0]]}'?" if near else ""


def first_line(error: Exception) -> str:
    """What an error of somebody else's code says, on one line; its name if it says nothing.

    >>> first_line(ValueError("two lines\\nare too many"))
    'two lines'
    >>> first_line(KeyError())
    'KeyError'
    """
    return str(error).strip().partition("\n")[0] or type(error).__name__
