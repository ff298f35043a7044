"""Some jobs of a sweep, by any key of their configs."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from omegaconf import DictConfig, OmegaConf

from regraft.errors import RegraftError, did_you_mean
from regraft.jobs import Job


def parse(words: Sequence[str]) -> dict[str, str]:
    """KEY=VALUE words as a dictionary; RegraftError for others.

    >>> parse(["strategy=finetune"])
    {'strategy': 'finetune'}
    """
    for word in words:
        if not word.partition("=")[0] or not word.partition("=")[2]:
            raise RegraftError(f"--where {word}: give KEY=VALUE, as in --where strategy=finetune")
    return {key: value for key, _, value in (word.partition("=") for word in words)}


def select(jobs: Sequence[Job], where: Mapping[str, str], by: Sequence[str]) -> list[Job]:
    """The jobs `where` these keys have these values, each knowing its value of the keys in `by`.

    Raises RegraftError for a key that no config has, and for values that no job has.
    """
    for key in dict.fromkeys([*where, *by]):
        jobs = _knowing(jobs, key)
    for key, value in where.items():
        there = sorted({job.setting(key) for job in jobs})
        jobs = [job for job in jobs if _same(job.setting(key), value)]
        if not jobs:
            hint = did_you_mean(value, there)
            raise RegraftError(f"{key}={value}: no job; there are {', '.join(there[:20])}{hint}")
    return list(jobs)


def _knowing(jobs: Sequence[Job], key: str) -> list[Job]:
    """The jobs, with the value of this key from their configs where no word of theirs gave it."""
    made, known = [], set[str]()
    for job in jobs:
        if key not in job.choices and key not in job.overrides:
            config = _config(job)
            known |= {*job.choices, *_keys(config, "")}
            value = OmegaConf.select(config, key)
            if value is not None and not OmegaConf.is_config(value):
                job = replace(job, overrides={**job.overrides, key: str(value)})
        made.append(job)
    if not any(key in job.choices or key in job.overrides for job in made):
        raise RegraftError(f"{key}: no job's config has such a key{did_you_mean(key, known)}")
    return made


def _config(job: Job) -> DictConfig:
    """The config that the job ran with; empty if it was not written or cannot be read."""
    try:
        config: Any = OmegaConf.load(job.folder / "config.yaml")
    except Exception:  # whatever is wrong with the file, the job then lacks the key
        return OmegaConf.create()
    return config if isinstance(config, DictConfig) else OmegaConf.create()


def _keys(config: DictConfig, prefix: str) -> Iterator[str]:
    for key in map(str, config):
        node = config._get_node(key)
        if isinstance(node, DictConfig):
            yield from _keys(node, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}"


def _same(first: str, second: str) -> bool:
    try:
        return float(first) == float(second)
    except ValueError:
        return first == second
