"""In what the jobs of a sweep differ, what they have in common, and the command that makes one
again."""

import json
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from regraft.diff import ABSENT

MOST_VALUES = 12  # of one key that are listed
Values = Mapping[str, Any]  # dotted key → plain value


@dataclass(frozen=True)
class Settings:
    """A part of what several jobs were given: keys with the value that all have, and the others
    with each of their values and how many jobs have it."""

    common: Mapping[str, str]
    different: Mapping[str, tuple[tuple[str, int], ...]]
    left_out: Mapping[str, int]  # values of a key that are not listed


def compared(jobs: Sequence[Values]) -> Settings:
    """What is the same in all jobs, and what is not."""
    common: dict[str, str] = {}
    different: dict[str, tuple[tuple[str, int], ...]] = {}
    left_out: dict[str, int] = {}
    for key in dict.fromkeys(key for values in jobs for key in values):
        counts = Counter(text_of(values.get(key)) for values in jobs)
        if len(counts) == 1:
            common[key] = next(iter(counts))
            continue
        different[key] = tuple(counts.most_common(MOST_VALUES))
        if len(counts) > MOST_VALUES:
            left_out[key] = len(counts) - MOST_VALUES
    return Settings(common, different, left_out)


def own(values: Values, settings: Settings) -> dict[str, str]:
    """What one of the jobs has in the keys in which they differ, and that it has at all."""
    return {key: text_of(values[key]) for key in settings.different if key in values}


def text_of(value: Any) -> str:
    """A value as it is written in YAML."""
    if value is None:
        return ABSENT
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def command(words: Sequence[Any]) -> str:
    """What to type for this one job, from the words that made it in its sweep.

    A preset of group `sweep` is for a sweep only: with one value for each of its keys, it is one of
    a single job.
    """
    typed = [str(word) for word in words]
    if any(word.lstrip("+").startswith("sweep=") for word in typed):
        typed = ["-m", "hydra/sweeper=basic", *typed]
    return shlex.join(["python", "train.py", *typed])
