"""Secrets as ***: what is written about a job is read by many, and kept."""

import logging
import os
import re
from functools import cache
from typing import Any

from regraft.escaping import printable

MASK = "***"
# As a word of a key, whole: `token` and `hf_token` are secret, `tokens` and `tokenizer` are not.
_WORDS = (
    r"token|secret|password|passwd|passphrase|credentials?"
    r"|api_?key|access_?key|private_?key|secret_?key|authorization"
)
_KEY = rf"(?:[A-Za-z0-9_./-]*[_./-])?(?:{_WORDS})(?:_(?:id|key|file|value))?"
_SECRET = re.compile(_KEY, re.IGNORECASE)
_VALUE = r"""("[^"]*"|'[^']*'|[^\s,;&'"\])}]+)"""
_PAIR = re.compile(  # key=value, "key": value and {key: value}; "token: no such key" is a sentence
    rf"""((?<![\w./-]){_KEY}\s*=\s*|['"]{_KEY}['"]\s*:\s*|[{{,]\s*{_KEY}\s*:\s*){_VALUE}""",
    re.IGNORECASE,
)
_IN_URL = re.compile(r"(?<=://)[^\s/@'\"]+(?=@)")
_SHAPES = re.compile(  # of the hub, GitHub, OpenAI, Amazon and of a bearer, wherever they stand
    r"\b(?:hf_[A-Za-z0-9]{16,}|gh[opsu]_[A-Za-z0-9]{20,}|sk-[\w-]{20,}|AKIA[A-Z0-9]{16})\b"
    r"|(?<=Bearer )\S+"
)
_SHORTEST = 8  # characters of a secret that is looked for by its value


def masked(value: Any, key: str = "") -> Any:
    """The same plain data with secrets masked: by their keys, and in every text by their looks."""
    if isinstance(value, dict):
        return {name: masked(inner, f"{key}.{name}") for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [masked(inner, key) for inner in value]
    if value is None or isinstance(value, bool):
        return value
    if is_secret(key):
        return MASK
    return in_text(value) if isinstance(value, str) else value


def is_secret(key: str) -> bool:
    """Whether a dotted key names a secret, or a part of one.

    >>> [is_secret(key) for key in ("data.hf_token", "wandb.api_key.1", "tokens", "monitor")]
    [True, True, False, False]
    """
    parts = key.split(".")
    return any(_SECRET.fullmatch(_snake(part)) for part in parts)


def in_text(text: str) -> str:
    """A text without the secrets in it.

    >>> in_text("data.token=abc data.path=https://me:pw@host/x max_tokens=3")
    'data.token=*** data.path=https://***@host/x max_tokens=3'
    """
    text = _PAIR.sub(rf"\1{MASK}", _SHAPES.sub(MASK, _IN_URL.sub(MASK, text)))
    for secret in _of_the_environment():
        text = text.replace(secret, MASK)
    return text


@cache
def _of_the_environment() -> tuple[str, ...]:
    """The secrets that this process was started with, such as the value of WANDB_API_KEY."""
    values = (value for name, value in os.environ.items() if is_secret(name.lower()))
    return tuple(sorted((v for v in values if len(v) >= _SHORTEST), key=len, reverse=True))


def _snake(name: str) -> str:
    """accessKey as access_key."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


class Formatter(logging.Formatter):
    """Lines of a log without secrets: one line per message, then the traceback if there is one."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802, logging's name
        return printable(in_text(super().formatMessage(record)))

    def formatException(self, ei: Any) -> str:  # noqa: N802
        return in_text(super().formatException(ei))
