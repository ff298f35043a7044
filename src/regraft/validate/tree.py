"""A config tree with the folders of teams in front: composed, checked, and each fault's place."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, cast

import yaml
from hydra.errors import MissingConfigException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from regraft import config
from regraft.complaints import explain
from regraft.errors import RegraftError
from regraft.precheck import as_job
from regraft.provenance import shown
from regraft.searchpath import SHIPPED, Entry, files, loader, options
from regraft.validate.files import Fault, keys

PRIMARY = "config"


class Job(NamedTuple):
    """What is wrong with a job, and its settings as plain data, empty where they cannot be told."""

    faults: tuple[Fault, ...]
    settings: dict[str, Any]


class Tree:
    """All options of the entries, the first of which is asked first."""

    def __init__(self, searched: Sequence[Entry]) -> None:
        self.searched = searched
        found = options(searched)
        self.groups = list(dict.fromkeys(option.group for option in found))
        self.options = [option for option in found if not option.group.startswith("hydra/")]
        ours = [("main" if e.name == SHIPPED else e.name, f"file://{e.folder}") for e in searched]
        sources = [("hydra", "pkg://hydra.conf"), *ours, ("schema", "structured://")]
        self._loader = loader(sources)

    def names(self, group: str) -> list[str]:
        """The options of a group."""
        return [option.name for option in self.options if option.group == group]

    @cached_property
    def base(self) -> list[str]:
        """Words for the rest of a job: none, or another option in place of a default that does not
        even compose, so that it hides no other fault."""
        if self._composes([]):
            return []
        words = [f"{o.group}={o.name}" for o in self.options if o.group in self._replaced]
        return next(([word] for word in words if self._composes([word])), [])

    @property
    def _replaced(self) -> set[str]:
        return {option.group for option in self.options if option.behind}

    def _composes(self, words: Sequence[str]) -> bool:
        try:
            self._load(words)
        except Exception:
            return False
        return True

    def _load(self, words: Sequence[str]) -> DictConfig:
        return self._loader.load_configuration(PRIMARY, [*words], RunMode.RUN)

    def compose(self, *words: str) -> DictConfig:
        """What these words mean, with Hydra's own part."""
        return self._load(self._with_base(words))

    def look(self, *words: str) -> Job:
        """A job of these words: all that is wrong with it, and its settings."""
        words = self._with_base(words)
        try:
            with _running(self._load(words)) as task:
                wrong = [*config.problems(task)]
                settings = config.resolved(task)
        except (yaml.YAMLError, UnicodeDecodeError):
            return Job((), {})  # a fault of a file, which is told of by itself
        except RegraftError as error:
            wrong, settings = [error], {}
        except Exception as error:
            return Job((self._place(error, words),), {})
        return Job(tuple(self._fault(problem, words) for problem in wrong), settings)

    def _fault(self, problem: RegraftError, words: Sequence[str]) -> Fault:
        file, line = self._where(problem.key or "", words)
        return Fault(file, line, str(problem).removeprefix(f"{shown(file, line)}: "))

    def _with_base(self, words: Sequence[str]) -> tuple[str, ...]:
        given = {word.partition("=")[0] for word in words}
        return (*(word for word in self.base if word.partition("=")[0] not in given), *words)

    def find(self, name: str) -> Path | None:
        """The file that is taken for `head/mlp`."""
        return next((file for entry in self.searched if (file := entry.find(name))), None)

    def _where(self, key: str, words: Sequence[str]) -> tuple[Path, int]:
        """The file and line that decide about a key of a job, or about what it should be in."""
        own = self._files(words)
        for file in own:
            if line := keys(file).get(f"hydra.sweeper.params.{key}"):
                return file, line
        merged = list(self._merged(words))
        while key:
            parent = key.rpartition(".")[0]
            for name in (key, f"{parent}._target_") if parent else (key,):
                for file, package in merged:
                    if line := _line_of(file, package, name):
                        return file, line
            key = parent
        return (own or [file for file, _ in merged])[0], 1

    def _merged(self, words: Sequence[str]) -> Iterator[tuple[Path, str]]:
        """The files of a job and their packages; first the one that wins, as it was merged last."""
        composed = self._loader.compute_defaults_list(PRIMARY, [*words], RunMode.RUN)
        for default in reversed(composed.defaults):
            if default.config_path and (file := self.find(default.config_path)):
                yield file, default.package or ""

    def _files(self, words: Sequence[str]) -> list[Path]:
        names = (word.replace("=", "/", 1) for word in reversed(words))
        return [file for name in names if (file := self.find(name))]

    def _place(self, error: Exception, words: Sequence[str]) -> Fault:
        """What stopped Hydra, and the line that is about it."""
        text = str(error)
        said = [name for name in re.findall(r"[iI]n '([^']+)'", text) if name != PRIMARY]
        named = [file for name in said if (file := self.find(name))]
        everything = [file for entry in self.searched for _, file in files(entry.folder)]
        looked_at = [*named, *self._files(words), *everything]
        if isinstance(error, MissingConfigException):
            about = str(error.missing_cfg_file).split("/")[-2:]
        else:
            about = re.findall(r"override '([^']+)'", text)
        if full := re.search(r"full_key: (\S+)", text):
            for file in looked_at:
                if line := keys(file).get(full[1]):
                    return Fault(file, line, _one_line(error))
        for needed in (about, about[-1:]):
            for file in looked_at:
                if needed and (line := _line_with(file, needed)):
                    return Fault(file, line, _one_line(error))
        return Fault(looked_at[0], 1, _one_line(error))


def _one_line(error: Exception) -> str:
    return explain(error).partition(" Config search path:")[0]


def _line_of(file: Path, package: str, key: str) -> int | None:
    inside = f"{package}." if package else ""
    return keys(file).get(key.removeprefix(inside)) if key.startswith(inside) else None


def _line_with(file: Path, words: Sequence[str]) -> int | None:
    lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    for number, line in enumerate(lines, 1):
        code = line.partition("#")[0]
        if all(re.search(rf"(?<!\w){re.escape(word)}(?!\w)", code) for word in words):
            return number
    return None


@contextmanager
def _running(cfg: DictConfig) -> Iterator[DictConfig]:
    """What a job would see of a composed config, each missing value filled in."""
    with as_job(cfg, "outputs", 0) as task:
        _fill(task)
        yield task


def _fill(task: DictConfig) -> None:
    """Give each missing value one that its annotation takes: what is left to the user is no fault.

    Its name is checked all the same.
    """
    for key in sorted(OmegaConf.missing_keys(task)):
        parent, _, name = key.rpartition(".")
        node = OmegaConf.select(task, parent, throw_on_missing=False) if parent else {}
        plain = OmegaConf.to_container(node) if isinstance(node, DictConfig) else {}
        known = config.PLAIN.get(key, Any)
        expected = config.annotation(parent, cast(Any, plain), name) if parent else known
        OmegaConf.update(task, key, next(iter(config.plain_values(expected)), "x"))
